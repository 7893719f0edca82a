/* What libmodbus makes of registers: reads lines of four hexadecimal words, writes the bits of its four floats, and the
 * 32-bit and 64-bit integer. The first line is the library's version. */
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t bits(float value) {
    uint32_t found;
    memcpy(&found, &value, sizeof found);
    return found;
}

int main(void) {
    unsigned int a, b, c, d;
    printf("%d %d %d\n", LIBMODBUS_VERSION_MAJOR, LIBMODBUS_VERSION_MINOR, LIBMODBUS_VERSION_MICRO);
    while (scanf("%x %x %x %x", &a, &b, &c, &d) == 4) {
        uint16_t words[4] = {a, b, c, d};
        printf("%08x %08x %08x %08x %d %lld\n", bits(modbus_get_float_abcd(words)), bits(modbus_get_float_badc(words)),
               bits(modbus_get_float_cdab(words)), bits(modbus_get_float_dcba(words)),
               (int32_t)MODBUS_GET_INT32_FROM_INT16(words, 0), (long long)MODBUS_GET_INT64_FROM_INT16(words, 0));
    }
    return 0;
}
