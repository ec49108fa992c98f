#include "stages/precision.h"
#include "nn/model.h"

#include <string.h>

/** Whether the stage of NODE says that it goes on in another precision than it began in. */
bool cz_stage_changes_precision(const cz_config_node *node) {
  return strcmp(cz_config_text_or(cz_config_get(node, "train"), "began_in", "same"), "same") != 0;
}

/** The precision that the stage of NODE trains in, float32 where it does not say; null for one that
 * does not train. Lives as long as NODE. */
const char *cz_stage_precision(const cz_config_node *node) {
  const cz_config_node *train = cz_config_get(node, "train");
  const char *f32 = cz_precision_names[CZ_PRECISION_F32];
  return train ? cz_config_text_or(train, "precision", f32) : NULL;
}

/** The stage of NODE without the precision that it trains in and the one that it began in; what
 * is made lives as long as CONFIG. */
cz_status cz_stage_without_precision(cz_config *config, const cz_config_node **out,
                                     const cz_config_node *node) {
  const cz_config_node *train = cz_config_get(node, "train");
  *out = node;
  if (!train || cz_config_kind_of(train) != CZ_CONFIG_MAPPING) return CZ_OK;
  CZ_TRY(cz_config_without(config, &train, train, "precision"));
  CZ_TRY(cz_config_without(config, &train, train, "began_in"));
  return cz_config_with(config, out, node, "train", train);
}

/** The hash of the configuration NODE of a stage without its precision: the configuration's part
 * of cz_stage_checkpoint_hash. */
cz_status cz_stage_config_hash(uint64_t *hash, const cz_config_node *node) {
  const cz_config_node *stripped;
  cz_config *made;
  CZ_TRY(cz_config_from_words(&made, NULL, 0));
  cz_status st = cz_stage_without_precision(made, &stripped, node);
  if (st == CZ_OK) st = cz_config_hash(hash, stripped);
  cz_config_destroy(&made);
  return st;
}
