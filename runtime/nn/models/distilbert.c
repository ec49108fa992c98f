/* DistilBERT: Sanh et al. 2019; names and keys as Hugging Face has them (docs/models.md 3). */
#include "nn/models/rows.h"

#define BODY  "distilbert."
#define BLOCK BODY "transformer.layer.{i}."

static const cz_weight weights[] = {
    CZ_MATRIX(EMBEDDING, BODY "embeddings.word_embeddings.weight"),
    CZ_MATRIX(POSITIONS, BODY "embeddings.position_embeddings.weight"),
    CZ_NORM(EMBEDDING_NORM, BODY "embeddings.LayerNorm"),
    CZ_LINEAR(SELF_Q, BLOCK "attention.q_lin"),
    CZ_LINEAR(SELF_K, BLOCK "attention.k_lin"),
    CZ_LINEAR(SELF_V, BLOCK "attention.v_lin"),
    CZ_LINEAR(SELF_O, BLOCK "attention.out_lin"),
    CZ_NORM(SELF_NORM, BLOCK "sa_layer_norm"),
    CZ_LINEAR(WI, BLOCK "ffn.lin1"),
    CZ_LINEAR(WO, BLOCK "ffn.lin2"),
    CZ_NORM(FFN_NORM, BLOCK "output_layer_norm"),
    CZ_LINEAR(LM_DENSE, "vocab_transform"),
    CZ_NORM(LM_NORM, "vocab_layer_norm"),
    CZ_VECTOR(LM_BIAS, "vocab_projector.bias"),
    CZ_MATRIX(HEAD, "vocab_projector.weight", .when = CZ_WHEN_UNTIED),
    CZ_LINEAR(POOLER, "pre_classifier"),
    CZ_LINEAR(CLASSIFIER, "classifier"),
    {.tensor = NULL}};

/* Other heads' tensors, and buffers of old versions. */
static const char *const unused[] = {"vocab_*",      "pre_classifier.*", "classifier.*",
                                     "qa_outputs.*", "*.position_ids",   NULL};

static const cz_config_key keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    {.key = "dim", .fact = CZ_FACT_D_MODEL, .missing = CZ_MISSING_ERROR, .alias = "hidden_size"},
    {.key = "n_layers",
     .fact = CZ_FACT_N_LAYERS,
     .missing = CZ_MISSING_ERROR,
     .alias = "num_hidden_layers"},
    {.key = "n_heads",
     .fact = CZ_FACT_N_HEADS,
     .missing = CZ_MISSING_ERROR,
     .alias = "num_attention_heads"},
    {.key = "hidden_dim", .fact = CZ_FACT_D_FF, .missing = CZ_MISSING_ERROR},
    {.key = "activation", .fact = CZ_FACT_ACTIVATION},
    {.key = "dropout", .fact = CZ_FACT_DROPOUT},
    {.key = "attention_dropout", .fact = CZ_FACT_ATTENTION_DROPOUT},
    {.key = "seq_classif_dropout", .fact = CZ_FACT_CLASSIFIER_DROPOUT},
    {.key = "max_position_embeddings", .fact = CZ_FACT_N_POSITIONS},
    {.key = "initializer_range", .fact = CZ_FACT_INIT_FACTOR},
    {.key = "tie_word_embeddings", .fact = CZ_FACT_TIED, .missing = CZ_MISSING_TRUE},
    {.key = "pad_token_id", .fact = CZ_FACT_PAD_ID},
    {.key = NULL}};

/* The position table is in the file, however it began. */
static const char *const ignored[] = {"qa_dropout", "tie_weights_", "sinusoidal_pos_embds",
                                      "eos_token_id", NULL};

static const cz_config_must musts[] = {CZ_ENCODER_MUSTS};

static const cz_projection projections[] = {CZ_GELU, CZ_GELU_NEW, CZ_OTHER_ACTIVATIONS};

/* Sanh et al. 2019, section 3; nano is this project's. */
static const cz_model_size sizes[] = {
    {"nano", 2, 64, 256, 2, 32}, {"base", 6, 768, 3072, 12, 64}, {.name = NULL}};

static const cz_head_class classes[] = {{"DistilBertForMaskedLM", CZ_MASKED},
                                        {"DistilBertForSequenceClassification", CZ_CLASSIFY},
                                        {.name = NULL}};

const cz_family cz_family_distilbert = {
    .name = "distilbert",
    .help = "DistilBERT: BERT with half of the blocks, without token types and pooler",
    .architecture = CZ_ENCODER,
    .norm = CZ_NORM_LAYER,
    .norm_place = CZ_NORM_AFTER,
    .positions = CZ_POSITIONS_LEARNED,
    .padding_row = true,
    .scaled_attention = true,
    .no_self_dropout = true,
    .pooler_activation = CZ_ACTIVATION_RELU,
    .defaults = {.vocab_size = 30522,
                 .n_positions = 512,
                 .n_labels = 2,
                 .dropout = 0.1,
                 .attention_dropout = 0.1,
                 .classifier_dropout = 0.2,
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
    .model_types = {"distilbert"},
    .hf_class = "DistilBertModel",
    .classes = classes,
    .prefix = BODY,
    .keys = keys,
    .ignored = ignored,
    .musts = musts,
    .projections = projections,
    .weights = weights,
    .unused = unused};
