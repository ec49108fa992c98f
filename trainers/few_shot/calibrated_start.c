#include "few_shot/calibrated_start.h"
#include "ensemble/calibrate.h"

#include <stdlib.h>

/** Takes from the bias of each of WORDS [classes, width], label words in MODEL's masked-LM head,
 * its class's part of OFFSETS [classes]. Errors as cz_calibrate_bias. */
cz_status cz_calibrated_start(cz_model *model, const double *offsets, const int32_t *words,
                              int32_t classes, int32_t width) {
  const cz_params *p = model->params;
  const cz_param *bias = model->heads.lm_bias;
  const size_t n = (size_t)bias->count;
  double *x = NULL;
  float *b = NULL;
  cz_status st;
  CZ_GO(st, cz_alloc(&x, n, sizeof *x), done);
  CZ_GO(st, cz_alloc(&b, n, sizeof *b), done);
  CZ_GO(st, cz_device_read_real(p->device, x, bias->value, bias->count), done);
  for (size_t i = 0; i < n; i++) b[i] = (float)x[i];
  CZ_GO(st, cz_calibrate_bias(b, n, offsets, words, classes, width), done);
  for (size_t i = 0; i < n; i++) x[i] = b[i];
  st = cz_device_write_real(p->device, bias->value, x, bias->count);
done:
  free(x);
  free(b);
  return st;
}
