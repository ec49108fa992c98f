/* Between net.c, which builds and feeds the body, and net_heads.c, which does the heads. */
#ifndef CZ_NN_NET_HEADS_H
#define CZ_NN_NET_HEADS_H

#include "nn/layers.h"
#include "nn/net.h"

CZ_MUST cz_status cz__net_check_heads(const cz_net *net);
void cz__net_build_heads(cz_net *net, const cz_builder *b, cz_value x);
CZ_MUST cz_status cz__net_feed_heads(cz_net *net, const cz_feed *feed);
CZ_MUST cz_status cz__net_check_ids(const char *what, const int32_t *ids, int64_t n,
                                    int64_t vocabulary);

#endif
