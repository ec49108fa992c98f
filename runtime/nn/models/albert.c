/* ALBERT: Lan et al. 2020; names and keys as Hugging Face has them (docs/models.md 3). Embeddings
 * are narrower than the blocks, and blocks of a group are one. */
#include "nn/models/rows.h"

#define BODY  "albert."
#define BLOCK BODY "encoder.albert_layer_groups.{g}.albert_layers.{k}."

static const cz_weight weights[] = {
    CZ_MATRIX(EMBEDDING, BODY "embeddings.word_embeddings.weight"),
    CZ_MATRIX(POSITIONS, BODY "embeddings.position_embeddings.weight"),
    CZ_MATRIX(TYPES, BODY "embeddings.token_type_embeddings.weight"),
    CZ_NORM(EMBEDDING_NORM, BODY "embeddings.LayerNorm"),
    CZ_LINEAR(EMBEDDING_MAP, BODY "encoder.embedding_hidden_mapping_in"),
    CZ_LINEAR(SELF_Q, BLOCK "attention.query"),
    CZ_LINEAR(SELF_K, BLOCK "attention.key"),
    CZ_LINEAR(SELF_V, BLOCK "attention.value"),
    CZ_LINEAR(SELF_O, BLOCK "attention.dense"),
    CZ_NORM(SELF_NORM, BLOCK "attention.LayerNorm"),
    CZ_LINEAR(WI, BLOCK "ffn"),
    CZ_LINEAR(WO, BLOCK "ffn_output"),
    CZ_NORM(FFN_NORM, BLOCK "full_layer_layer_norm"),
    CZ_LINEAR(POOLER, BODY "pooler"),
    CZ_VECTOR(LM_BIAS, "predictions.bias"),
    CZ_NORM(LM_NORM, "predictions.LayerNorm"),
    CZ_LINEAR(LM_DENSE, "predictions.dense"),
    CZ_MATRIX(HEAD, "predictions.decoder.weight", .when = CZ_WHEN_UNTIED),
    CZ_LINEAR(NEXT_SENTENCE, "sop_classifier.classifier"),
    CZ_LINEAR(CLASSIFIER, "classifier"),
    {.tensor = NULL}};

static const cz_weight_alias aliases[] = {{"predictions.bias", "predictions.decoder.bias"},
                                          {NULL, NULL}};

/* Other heads' tensors, and buffers of old versions. */
static const char *const unused[] = {
    "predictions.*", "albert.pooler.*", "sop_classifier.*", "classifier.*",
    "qa_outputs.*",  "*.position_ids",  "*.token_type_ids", NULL};

static const cz_config_key keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    {.key = "embedding_size", .fact = CZ_FACT_D_EMBEDDING},
    {.key = "num_hidden_groups", .fact = CZ_FACT_N_GROUPS},
    {.key = "inner_group_num", .fact = CZ_FACT_N_INNER},
    CZ_BERT_SIZE_KEYS,
    {.key = "classifier_dropout_prob", .fact = CZ_FACT_CLASSIFIER_DROPOUT},
    CZ_BERT_OTHER_KEYS};

static const char *const ignored[] = {"down_scale_factor", "gap_size", "net_structure_type",
                                      "num_memory_blocks", NULL};

static const cz_config_must musts[] = {CZ_ENCODER_MUSTS};

/* Without the key: the first. */
static const cz_projection projections[] = {CZ_GELU_NEW, CZ_GELU, CZ_OTHER_ACTIVATIONS};

/* Lan et al. 2020, table 1; nano is this project's. */
static const cz_model_size sizes[] = {
    {"nano", 2, 64, 256, 2, 32},          {"base", 12, 768, 3072, 12, 64},
    {"large", 24, 1024, 4096, 16, 64},    {"xlarge", 24, 2048, 8192, 32, 64},
    {"xxlarge", 12, 4096, 16384, 64, 64}, {.name = NULL}};

static const cz_head_class classes[] = {{"AlbertForMaskedLM", CZ_MASKED},
                                        {"AlbertForPreTraining", CZ_MASKED | CZ_NEXT},
                                        {"AlbertForPreTraining", CZ_NEXT},
                                        {"AlbertForSequenceClassification", CZ_CLASSIFY},
                                        {.name = NULL}};

const cz_family cz_family_albert = {
    .name = "albert",
    .help = "ALBERT: one block for all layers, narrow embeddings, order of sentences",
    .architecture = CZ_ENCODER,
    .norm = CZ_NORM_LAYER,
    .norm_place = CZ_NORM_AFTER,
    .positions = CZ_POSITIONS_LEARNED,
    .padding_row = true,
    .shared_blocks = true,
    .scaled_attention = true,
    .no_ffn_dropout = true,
    .pooler_activation = CZ_ACTIVATION_TANH,
    .next_sentence_dropout = true,
    .defaults = {.vocab_size = 30000,
                 .d_embedding = 128,
                 .n_positions = 512,
                 .n_types = 2,
                 .n_groups = 1,
                 .n_inner = 1,
                 .n_labels = 2,
                 .dropout = 0,
                 .attention_dropout = 0,
                 .classifier_dropout = 0.1,
                 .norm_eps = 1e-12,
                 .init_factor = 0.02,
                 .activation = CZ_ACTIVATION_GELU_TANH,
                 .tied = true,
                 .heads = CZ_MASKED,
                 .pad_id = 0,
                 .eos_id = 3,
                 .start_id = -1,
                 .bos_id = 2},
    .sizes = sizes,
    .model_types = {"albert"},
    .hf_class = "AlbertModel",
    .classes = classes,
    .prefix = BODY,
    .keys = keys,
    .ignored = ignored,
    .musts = musts,
    .projections = projections,
    .weights = weights,
    .aliases = aliases,
    .unused = unused};
