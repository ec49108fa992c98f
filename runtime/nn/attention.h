/* Which kernels compute a model's attentions: our own, or cuDNN's where there is no relative bias
 * (kernels/attention_cudnn has what it can and cannot). */
#ifndef CZ_NN_ATTENTION_H
#define CZ_NN_ATTENTION_H

#include "nn/model.h"

typedef enum cz_attention_choice {
  CZ_ATTENTION_OWN,
  CZ_ATTENTION_BY_CUDNN,
  CZ_ATTENTION_AUTO
} cz_attention_choice;

extern const char *const cz_attention_choices[]; /* null-terminated */

/* What would be computed, where a net is not there yet. */
typedef struct cz_attention_wish {
  const cz_model_config *config;
  cz_device *device; /* null: not known */
  cz_precision precision;
  double dropout; /* of attention weights */
} cz_attention_wish;

/* What a card took for the same attentions, without dropout, forward and backward. */
typedef struct cz_attention_times {
  const char *card; /* cz_device_info.name; null behind the last */
  double own_us, cudnn_us;
} cz_attention_times;

cz_attention_wish cz_attention_wish_of(const cz_model *m, double dropout);
CZ_MUST cz_status cz_attention_refused(const cz_attention_wish *w, const char **key);
CZ_MUST cz_status cz_attention_refused_to_run(const cz_attention_wish *w, const char **key);
CZ_MUST cz_status cz_attention_try_cudnn(const cz_attention_wish *w);
bool cz_attention_takes_cudnn(cz_attention_choice choice, const cz_attention_wish *w, char *why,
                              size_t n);
bool cz_attention_auto(const cz_attention_times *table, const cz_attention_wish *w, char *why,
                       size_t n);

#endif
