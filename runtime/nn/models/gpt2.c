/* GPT-2: Radford et al. 2019; names and keys as Hugging Face has them (docs/models.md 4). Its
 * linear layers are stored [in, out]; queries, keys and values are one tensor. */
#include "nn/models/rows.h"

#include <math.h>

#define BODY  "transformer."
#define BLOCK BODY "h.{i}."

/* Both products that add to the residual stream begin smaller by the root of their number
 * (Radford et al. 2019, section 2.3). */
static double residual(const cz_model_config *c) { return 1 / sqrt(2 * (double)c->n_layers); }

#define QKV(slot_, n)                                                                              \
  CZ_MATRIX(slot_, BLOCK "attn.c_attn.weight", .part = n, .parts = 3, .transposed = true),         \
      CZ_VECTOR(slot_##_BIAS, BLOCK "attn.c_attn.bias", .part = n, .parts = 3)

static const cz_weight weights[] = {
    CZ_MATRIX(EMBEDDING, BODY "wte.weight"),
    CZ_MATRIX(POSITIONS, BODY "wpe.weight"),
    CZ_NORM(SELF_NORM, BLOCK "ln_1"),
    QKV(SELF_Q, 0),
    QKV(SELF_K, 1),
    QKV(SELF_V, 2),
    CZ_MATRIX(SELF_O, BLOCK "attn.c_proj.weight", .transposed = true, .scale = residual),
    CZ_VECTOR(SELF_O_BIAS, BLOCK "attn.c_proj.bias"),
    CZ_NORM(FFN_NORM, BLOCK "ln_2"),
    CZ_MATRIX(WI, BLOCK "mlp.c_fc.weight", .transposed = true),
    CZ_VECTOR(WI_BIAS, BLOCK "mlp.c_fc.bias"),
    CZ_MATRIX(WO, BLOCK "mlp.c_proj.weight", .transposed = true, .scale = residual),
    CZ_VECTOR(WO_BIAS, BLOCK "mlp.c_proj.bias"),
    CZ_NORM(FINAL_NORM, BODY "ln_f"),
    CZ_MATRIX(HEAD, "lm_head.weight", .when = CZ_WHEN_UNTIED),
    CZ_MATRIX(CLASSIFIER, "score.weight"),
    {.tensor = NULL}};

/* The causal masks of old versions, which are no biases, and other heads. */
static const char *const unused[] = {BODY "h.*.attn.bias",
                                     BODY "h.*.attn.masked_bias",
                                     "lm_head.*",
                                     "score.*",
                                     "multiple_choice_head.*",
                                     NULL};

static const cz_config_key keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    {.key = "n_positions", .fact = CZ_FACT_N_POSITIONS, .alias = "max_position_embeddings"},
    {.key = "n_embd", .fact = CZ_FACT_D_MODEL, .missing = CZ_MISSING_ERROR, .alias = "hidden_size"},
    {.key = "n_layer",
     .fact = CZ_FACT_N_LAYERS,
     .missing = CZ_MISSING_ERROR,
     .alias = "num_hidden_layers"},
    {.key = "n_head",
     .fact = CZ_FACT_N_HEADS,
     .missing = CZ_MISSING_ERROR,
     .alias = "num_attention_heads"},
    {.key = "n_inner", .fact = CZ_FACT_D_FF}, /* null: 4 n_embd */
    {.key = "activation_function", .fact = CZ_FACT_ACTIVATION},
    {.key = "resid_pdrop", .fact = CZ_FACT_DROPOUT},
    {.key = "embd_pdrop", .fact = CZ_FACT_EMBEDDING_DROPOUT},
    {.key = "attn_pdrop", .fact = CZ_FACT_ATTENTION_DROPOUT},
    {.key = "layer_norm_epsilon", .fact = CZ_FACT_NORM_EPS},
    {.key = "initializer_range", .fact = CZ_FACT_INIT_FACTOR},
    {.key = "scale_attn_by_inverse_layer_idx", .fact = CZ_FACT_LAYER_SCALED},
    {.key = "tie_word_embeddings", .fact = CZ_FACT_TIED, .missing = CZ_MISSING_TRUE},
    {.key = "pad_token_id", .fact = CZ_FACT_PAD_ID},
    {.key = "eos_token_id", .fact = CZ_FACT_EOS_ID},
    {.key = "bos_token_id", .fact = CZ_FACT_BOS_ID},
    {.key = NULL}};

static const char *const ignored[] = {"n_ctx",
                                      "summary_type",
                                      "summary_use_proj",
                                      "summary_activation",
                                      "summary_proj_to_labels",
                                      "summary_first_dropout",
                                      NULL};

static const cz_config_must musts[] = {{.key = "scale_attn_weights", .truth = true},
                                       {.key = "reorder_and_upcast_attn"},
                                       {.key = "add_cross_attention"},
                                       {.key = NULL}};

/* Without the key: the first. */
static const cz_projection projections[] = {CZ_GELU_NEW, CZ_GELU, CZ_OTHER_ACTIVATIONS};

/* Radford et al. 2019, table 2; distil is DistilGPT-2, nano and mini are this project's. */
static const cz_model_size sizes[] = {
    {"nano", 2, 64, 256, 2, 32},        {"mini", 4, 256, 1024, 4, 64},
    {"distil", 6, 768, 3072, 12, 64},   {"small", 12, 768, 3072, 12, 64},
    {"medium", 24, 1024, 4096, 16, 64}, {"large", 36, 1280, 5120, 20, 64},
    {"xl", 48, 1600, 6400, 25, 64},     {.name = NULL}};

static const cz_head_class classes[] = {
    {"GPT2LMHeadModel", CZ_LM}, {"GPT2ForSequenceClassification", CZ_CLASSIFY}, {.name = NULL}};

const cz_family cz_family_gpt2 = {.name = "gpt2",
                                  .help =
                                      "GPT-2: one causal stack, norms before, learned positions",
                                  .architecture = CZ_LANGUAGE_MODEL,
                                  .norm = CZ_NORM_LAYER,
                                  .norm_place = CZ_NORM_BEFORE,
                                  .positions = CZ_POSITIONS_LEARNED,
                                  .scaled_attention = true,
                                  .pooled_last = true,
                                  .defaults = {.vocab_size = 50257,
                                               .n_positions = 1024,
                                               .n_labels = 2,
                                               .dropout = 0.1,
                                               .attention_dropout = 0.1,
                                               .embedding_dropout = 0.1,
                                               .norm_eps = 1e-5,
                                               .init_factor = 0.02,
                                               .activation = CZ_ACTIVATION_GELU_TANH,
                                               .tied = true,
                                               .heads = CZ_LM,
                                               .pad_id = -1,
                                               .eos_id = 50256,
                                               .start_id = -1,
                                               .bos_id = 50256},
                                  .sizes = sizes,
                                  .model_types = {"gpt2"},
                                  .hf_class = "GPT2Model",
                                  .classes = classes,
                                  .prefix = BODY,
                                  .keys = keys,
                                  .ignored = ignored,
                                  .musts = musts,
                                  .projections = projections,
                                  .weights = weights,
                                  .unused = unused};
