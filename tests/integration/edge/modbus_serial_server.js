// A Modbus TCP device written in JavaScript: modbus-serial's server.
//
//   node modbus_serial_server.js FOLDER_OF_MODULES PORT
//
// Prints "ready" when it answers. Holding register i holds i, input register i 1000 + i, coil i whether 3 divides i;
// from address 1000 on all is illegal. A write changes holding registers.
const [modules, port] = process.argv.slice(2);
const { ServerTCP } = require(`${modules}/modbus-serial`);

const registers = Array.from({ length: 1000 }, (_, i) => i);
const within = (address, value) => {
  if (address >= 1000) throw { modbusErrorCode: 2, msg: "illegal address" };
  return value();
};
const device = {
  getHoldingRegister: (address) => within(address, () => registers[address]),
  getInputRegister: (address) => within(address, () => 1000 + address),
  getCoil: (address) => within(address, () => address % 3 === 0),
  setRegister: (address, value) => within(address, () => { registers[address] = value; }),
};

const server = new ServerTCP(device, { host: "127.0.0.1", port: Number(port), unitID: 1 });
server.on("initialized", () => console.log("ready"));
server.on("socketError", (error) => console.error(error));
