/* A Modbus device that is not written in Python: libmodbus behind a TCP port of 127.0.0.1, or a slave on a serial port.
 *
 *   libmodbus_server tcp
 *   libmodbus_server rtu DEVICE BAUD UNIT
 *
 * Prints "ready PORT" (rtu: "ready 0") when it answers. 1000 addresses in each table: holding register i holds i, input
 * register i 1000 + i, coil i whether 3 divides i, discrete input i whether it is even. A write changes them.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES 1000

static modbus_mapping_t *tables(void) {
    modbus_mapping_t *map = modbus_mapping_new(ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES);
    if (map == NULL)
        return NULL;
    for (int i = 0; i < ADDRESSES; i++) {
        map->tab_registers[i] = i;
        map->tab_input_registers[i] = 1000 + i;
        map->tab_bits[i] = i % 3 == 0;
        map->tab_input_bits[i] = i % 2 == 0;
    }
    return map;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    return 1;
}

static int serve_tcp(modbus_mapping_t *map) {
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    int listener = ctx == NULL ? -1 : modbus_tcp_listen(ctx, 8);
    struct sockaddr_in place;
    socklen_t length = sizeof place;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&place, &length) < 0)
        return fail("listen");
    printf("ready %d\n", ntohs(place.sin_port));
    fflush(stdout);
    fd_set all;
    FD_ZERO(&all);
    FD_SET(listener, &all);
    int highest = listener;
    for (;;) {
        fd_set ready = all;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0)
            return fail("select");
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0 || client >= FD_SETSIZE)
                    continue;
                int on = 1;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                FD_SET(client, &all);
                if (client > highest)
                    highest = client;
                continue;
            }
            uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
            modbus_set_socket(ctx, fd);
            int got = modbus_receive(ctx, query);
            if (got > 0) {
                modbus_reply(ctx, query, got, map);
            } else if (got < 0) {
                close(fd);
                FD_CLR(fd, &all);
            }
        }
    }
}

static int serve_rtu(modbus_mapping_t *map, const char *device, int baud, int unit) {
    modbus_t *ctx = modbus_new_rtu(device, baud, 'N', 8, 1);
    if (ctx == NULL || modbus_set_slave(ctx, unit) < 0 || modbus_connect(ctx) < 0)
        return fail(device);
    printf("ready 0\n");
    fflush(stdout);
    for (;;) {
        uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
        int got = modbus_receive(ctx, query);
        if (got > 0)
            modbus_reply(ctx, query, got, map);
        else if (got < 0 && (errno == EIO || errno == EBADF))
            return 0; /* the line is gone */
    }
}

int main(int argc, char **argv) {
    modbus_mapping_t *map = tables();
    if (map == NULL)
        return fail("memory");
    if (argc == 2 && strcmp(argv[1], "tcp") == 0)
        return serve_tcp(map);
    if (argc == 5 && strcmp(argv[1], "rtu") == 0)
        return serve_rtu(map, argv[2], atoi(argv[3]), atoi(argv[4]));
    fprintf(stderr, "usage: libmodbus_server tcp | rtu DEVICE BAUD UNIT\n");
    return 2;
}
