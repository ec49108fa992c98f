/* Between net.c, which builds and feeds the body, net_heads.c, which does the heads, net_choices.c,
 * which does one of them, and net_together.c, in which several rows make one answer. */
#ifndef CZ_NN_NET_HEADS_H
#define CZ_NN_NET_HEADS_H

#include "nn/layers.h"
#include "nn/net.h"

CZ_MUST cz_status cz__net_check_heads(const cz_net *net);
bool cz__net_heads_read_rows(const cz_net *net);
void cz__net_build_heads(cz_net *net, cz_builder *b, cz_value x, const cz_tokens *t);
CZ_MUST cz_status cz__net_feed_heads(cz_net *net, const cz_feed *feed);
CZ_MUST cz_status cz__net_check_denominator(const cz_net_head *h, const cz_net_head_feed *feed);
cz_value cz__net_head_input(cz_net *net, const cz_net_head *h, const char *what, cz_dtype dtype,
                            int ndim, const int64_t *dim);
cz_value cz__net_param(cz_builder *b, cz_param *p);

/* The head CHOICES, in net_choices.c. */
CZ_MUST cz_status cz__net_create_choices(cz_net *net);
void cz__net_destroy_choices(cz_net *net);
void cz__net_declare_choices(cz_net *net, cz_net_head *h);
void cz__net_build_choices(cz_net *net, cz_net_head *h, cz_builder *b, cz_value x);
CZ_MUST cz_status cz__net_feed_choices(cz_net *net, cz_net_head *h, const cz_net_head_feed *f,
                                       const cz_feed *feed);

/* Several rows that make one answer (net_together.c). */
CZ_MUST cz_status cz__net_check_together(const cz_net *net, const cz_net_head_options *o);
int64_t cz__net_together(const cz_net_head_options *o);
void cz__net_declare_together(cz_net *n, cz_net_head *h);
cz_value cz__net_add_up(const cz_net_head *h, cz_builder *b, cz_value x);
cz_value cz__net_line_up(const cz_net_head *h, cz_builder *b, cz_value x, cz_linear_weights w);
CZ_MUST cz_status cz__net_feed_together(cz_net *n, cz_net_head *h, int64_t n_rows);

CZ_MUST cz_status cz__net_check_ids(const char *what, const int32_t *ids, int64_t n,
                                    int64_t vocabulary);

#endif
