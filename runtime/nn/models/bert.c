/* BERT: Devlin et al. 2019; names and keys as Hugging Face has them (docs/models.md 3). */
#include "nn/models/rows.h"

#define BODY  "bert."
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
    CZ_LINEAR(POOLER, BODY "pooler.dense"),
    CZ_VECTOR(LM_BIAS, "cls.predictions.bias"),
    CZ_LINEAR(LM_DENSE, "cls.predictions.transform.dense"),
    CZ_NORM(LM_NORM, "cls.predictions.transform.LayerNorm"),
    CZ_MATRIX(HEAD, "cls.predictions.decoder.weight", .when = CZ_WHEN_UNTIED),
    CZ_LINEAR(NEXT_SENTENCE, "cls.seq_relationship"),
    CZ_LINEAR(CLASSIFIER, "classifier"),
    {.tensor = NULL}};

static const cz_weight_alias aliases[] = {{"cls.predictions.bias", "cls.predictions.decoder.bias"},
                                          {NULL, NULL}};

/* Other heads' tensors, and buffers of old versions. */
static const char *const unused[] = {
    "cls.*", "bert.pooler.*", "classifier.*", "qa_outputs.*", "*.position_ids", "*.token_type_ids",
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

/* Turc et al. 2019 (up to medium) and Devlin et al. 2019, section 3; nano is this project's. */
static const cz_model_size sizes[] = {
    {"nano", 2, 64, 256, 2, 32},       {"tiny", 2, 128, 512, 2, 64},
    {"mini", 4, 256, 1024, 4, 64},     {"small", 4, 512, 2048, 8, 64},
    {"medium", 8, 512, 2048, 8, 64},   {"base", 12, 768, 3072, 12, 64},
    {"large", 24, 1024, 4096, 16, 64}, {.name = NULL}};

static const cz_head_class classes[] = {{"BertForMaskedLM", CZ_MASKED},
                                        {"BertForPreTraining", CZ_MASKED | CZ_NEXT},
                                        {"BertForNextSentencePrediction", CZ_NEXT},
                                        {"BertForSequenceClassification", CZ_CLASSIFY},
                                        {.name = NULL}};

const cz_family cz_family_bert = {.name = "bert",
                                  .help = "BERT: token types, pooler, masked LM with a transform",
                                  .architecture = CZ_ENCODER,
                                  .norm = CZ_NORM_LAYER,
                                  .norm_place = CZ_NORM_AFTER,
                                  .positions = CZ_POSITIONS_LEARNED,
                                  .padding_row = true,
                                  .scaled_attention = true,
                                  .pooler_activation = CZ_ACTIVATION_TANH,
                                  .defaults = {.vocab_size = 30522,
                                               .n_positions = 512,
                                               .n_types = 2,
                                               .n_labels = 2,
                                               .dropout = 0.1,
                                               .attention_dropout = 0.1,
                                               .classifier_dropout = 0.1,
                                               .norm_eps = 1e-12,
                                               .init_factor = 0.02,
                                               .activation = CZ_ACTIVATION_GELU,
                                               .tied = true,
                                               .heads = CZ_MASKED,
                                               .pad_id = 0,
                                               .eos_id = -1,
                                               .start_id = -1,
                                               .bos_id = -1},
                                  .sizes = sizes,
                                  .model_types = {"bert"},
                                  .hf_class = "BertModel",
                                  .classes = classes,
                                  .prefix = BODY,
                                  .keys = keys,
                                  .musts = musts,
                                  .projections = projections,
                                  .weights = weights,
                                  .aliases = aliases,
                                  .unused = unused};
