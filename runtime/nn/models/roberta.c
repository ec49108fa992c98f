/* RoBERTa (Liu et al. 2019), DistilRoBERTa (the size `distil`) and XLM-R (Conneau et al. 2020),
 * which is RoBERTa with another vocabulary; names and keys as Hugging Face has them (docs/models.md
 * 3). */
#include "nn/models/rows.h"

#define BODY  "roberta."
#define BLOCK BODY "encoder.layer.{i}."

static const cz_weight weights[] = {
    CZ_MATRIX(EMBEDDING, BODY "embeddings.word_embeddings.weight"),
    CZ_MATRIX(POSITIONS, BODY "embeddings.position_embeddings.weight"),
    CZ_MATRIX(TYPES, BODY "embeddings.token_type_embeddings.weight"),
    CZ_NORM(EMBEDDING_NORM, BODY "embeddings.LayerNorm"),
    CZ_LINEAR(SELF_Q, BLOCK "attention.self.query"),
    CZ_LINEAR(SELF_K, BLOCK "attention.self.key"),
    CZ_LINEAR(SELF_V, BLOCK "attention.self.value"),
    CZ_LINEAR(SELF_O, BLOCK "attention.output.dense"),
    CZ_NORM(SELF_NORM, BLOCK "attention.output.LayerNorm"),
    CZ_LINEAR(WI, BLOCK "intermediate.dense"),
    CZ_LINEAR(WO, BLOCK "output.dense"),
    CZ_NORM(FFN_NORM, BLOCK "output.LayerNorm"),
    CZ_VECTOR(LM_BIAS, "lm_head.bias"),
    CZ_LINEAR(LM_DENSE, "lm_head.dense"),
    CZ_NORM(LM_NORM, "lm_head.layer_norm"),
    CZ_MATRIX(HEAD, "lm_head.decoder.weight", .when = CZ_WHEN_UNTIED),
    CZ_LINEAR(POOLER, "classifier.dense"),
    CZ_LINEAR(CLASSIFIER, "classifier.out_proj"),
    {.tensor = NULL}};

static const cz_weight_alias aliases[] = {{"lm_head.bias", "lm_head.decoder.bias"}, {NULL, NULL}};

/* Other heads' tensors, and buffers of old versions. */
static const char *const unused[] = {"lm_head.*",
                                     "roberta.pooler.*",
                                     "classifier.*",
                                     "qa_outputs.*",
                                     "*.position_ids",
                                     "*.token_type_ids",
                                     NULL};

static const cz_config_key keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    CZ_BERT_SIZE_KEYS,
    {.key = "classifier_dropout",
     .fact = CZ_FACT_CLASSIFIER_DROPOUT,
     .missing = CZ_MISSING_LIKE,
     .like = CZ_FACT_DROPOUT},
    CZ_BERT_OTHER_KEYS};

static const cz_config_must musts[] = {CZ_ENCODER_MUSTS};

static const cz_projection projections[] = {CZ_GELU, CZ_GELU_NEW, CZ_OTHER_ACTIVATIONS};

/* Liu et al. 2019, section 3; distil is DistilRoBERTa, nano and mini are this project's. */
static const cz_model_size sizes[] = {
    {"nano", 2, 64, 256, 2, 32},       {"mini", 4, 256, 1024, 4, 64},
    {"distil", 6, 768, 3072, 12, 64},  {"base", 12, 768, 3072, 12, 64},
    {"large", 24, 1024, 4096, 16, 64}, {.name = NULL}};
static const cz_model_size xlm_sizes[] = {
    {"base", 12, 768, 3072, 12, 64}, {"large", 24, 1024, 4096, 16, 64}, {.name = NULL}};

static const cz_head_class classes[] = {{"RobertaForMaskedLM", CZ_MASKED},
                                        {"RobertaForSequenceClassification", CZ_CLASSIFY},
                                        {.name = NULL}};
static const cz_head_class xlm_classes[] = {{"XLMRobertaForMaskedLM", CZ_MASKED},
                                            {"XLMRobertaForSequenceClassification", CZ_CLASSIFY},
                                            {.name = NULL}};

/* The position table has 514 rows for 512 tokens. */
#define ROBERTA_FACTS                                                                              \
  .architecture = CZ_ENCODER, .norm = CZ_NORM_LAYER, .norm_place = CZ_NORM_AFTER,                  \
  .positions = CZ_POSITIONS_LEARNED, .positions_behind_pad = true, .padding_row = true,            \
  .scaled_attention = true, .lm_gelu = true, .pooler_dropout = true,                               \
  .pooler_activation = CZ_ACTIVATION_TANH, .prefix = BODY, .keys = keys, .musts = musts,           \
  .projections = projections, .weights = weights, .aliases = aliases, .unused = unused
#define ROBERTA_DEFAULTS                                                                           \
  .n_positions = 514, .n_types = 1, .n_labels = 2, .dropout = 0.1, .attention_dropout = 0.1,       \
  .classifier_dropout = 0.1, .norm_eps = 1e-5, .init_factor = 0.02,                                \
  .activation = CZ_ACTIVATION_GELU, .tied = true, .heads = CZ_MASKED, .pad_id = 1, .eos_id = 2,    \
  .start_id = -1, .bos_id = 0

const cz_family cz_family_roberta = {
    .name = "roberta",
    .help = "RoBERTa: places counted from pad + 1, no pooler, exact GELU in the masked LM",
    ROBERTA_FACTS,
    .defaults = {ROBERTA_DEFAULTS, .vocab_size = 50265},
    .sizes = sizes,
    .model_types = {"roberta"},
    .hf_class = "RobertaModel",
    .classes = classes};

const cz_family cz_family_xlm_roberta = {.name = "xlm-roberta",
                                         .help =
                                             "XLM-R: RoBERTa with a vocabulary of 100 languages",
                                         ROBERTA_FACTS,
                                         .defaults = {ROBERTA_DEFAULTS, .vocab_size = 250002},
                                         .sizes = xlm_sizes,
                                         .model_types = {"xlm-roberta"},
                                         .hf_class = "XLMRobertaModel",
                                         .tied_name = "lm_head.decoder.weight",
                                         .classes = xlm_classes};
