/* http/peer.c: the address a request came from. */
#include <arpa/inet.h>
#include <microhttpd.h>

#include "http/request.h"

struct slice rq_peer(const struct request *rq)
{
    const union MHD_ConnectionInfo *ci =
        MHD_get_connection_info(rq->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char text[INET6_ADDRSTRLEN] = "";

    if (ci == NULL || ci->client_addr == NULL)
        return slice_of(NULL, 0);
    if (ci->client_addr->sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6,
                        &((const struct sockaddr_in6 *)(const void *)ci->client_addr)->sin6_addr,
                        text, sizeof(text));
    else
        (void)inet_ntop(AF_INET,
                        &((const struct sockaddr_in *)(const void *)ci->client_addr)->sin_addr,
                        text, sizeof(text));
    return arena_dup(rq->arena, slice_str(text));
}
