/* T5: Raffel et al. 2020; names as Hugging Face has them (docs/models.md 2), Mesh
 * TensorFlow's initialisers (docs/t5.md 1.3). Two families of pairs (v1.0, and v1.1 with
 * gated GELU and an output of its own) and the paper's two single stacks. */
#include "graph/ops.h"
#include "nn/family.h"

#include <math.h>

/* Standard deviations: 1 / sqrt(inputs). q carries the 1/sqrt(K) that T5's attention leaves
 * out. */
static double std_q(const cz_model_config *c) {
  double D = (double)c->d_model, K = (double)c->d_kv;
  return 1 / sqrt(D * K);
}

static double std_model(const cz_model_config *c) { return 1 / sqrt((double)c->d_model); }
static double std_inner(const cz_model_config *c) {
  return 1 / sqrt((double)(c->n_heads * c->d_kv));
}
static double std_ff(const cz_model_config *c) { return 1 / sqrt((double)c->d_ff); }

/* Glorot uniform over [heads, buckets], TensorFlow's default, which the reference leaves in
 * place. */
static double limit_buckets(const cz_model_config *c) {
  return sqrt(6.0 / (double)(c->n_heads + c->buckets));
}

#define MATRIX(slot_, tensor_, init_, scale_, ...)                                                 \
  {                                                                                                \
    .slot = CZ_SLOT_##slot_, .tensor = tensor_, .init = CZ_INIT_##init_, .scale = scale_,          \
    __VA_ARGS__                                                                                    \
  }
#define NORM(slot_, tensor_, ...)                                                                  \
  { .slot = CZ_SLOT_##slot_, .tensor = tensor_, .init = CZ_INIT_ONE, __VA_ARGS__ }
#define SELF  "{s}.block.{i}.layer.0."
#define CROSS "{s}.block.{i}.layer.1."
#define FFN1  "{s}.block.{i}.layer.1." /* without cross-attention */
#define FFN2  "{s}.block.{i}.layer.2."
enum {
  PLAIN1 = CZ_WHEN_NO_CROSS | CZ_WHEN_NOT_GATED,
  GATED1 = CZ_WHEN_NO_CROSS | CZ_WHEN_GATED,
  PLAIN2 = CZ_WHEN_CROSS | CZ_WHEN_NOT_GATED,
  GATED2 = CZ_WHEN_CROSS | CZ_WHEN_GATED
};

static const cz_weight weights[] = {
    MATRIX(EMBEDDING, "shared.weight", NORMAL, NULL),
    MATRIX(SELF_Q, SELF "SelfAttention.q.weight", NORMAL, std_q),
    MATRIX(SELF_K, SELF "SelfAttention.k.weight", NORMAL, std_model),
    MATRIX(SELF_V, SELF "SelfAttention.v.weight", NORMAL, std_model),
    MATRIX(SELF_O, SELF "SelfAttention.o.weight", NORMAL, std_inner),
    NORM(SELF_NORM, SELF "layer_norm.weight"),
    MATRIX(POSITION_BIAS, SELF "SelfAttention.relative_attention_bias.weight", UNIFORM,
           limit_buckets),
    MATRIX(CROSS_Q, CROSS "EncDecAttention.q.weight", NORMAL, std_q),
    MATRIX(CROSS_K, CROSS "EncDecAttention.k.weight", NORMAL, std_model),
    MATRIX(CROSS_V, CROSS "EncDecAttention.v.weight", NORMAL, std_model),
    MATRIX(CROSS_O, CROSS "EncDecAttention.o.weight", NORMAL, std_inner),
    NORM(CROSS_NORM, CROSS "layer_norm.weight"),
    MATRIX(WI, FFN1 "DenseReluDense.wi.weight", TRUNCATED, std_model, .when = PLAIN1),
    MATRIX(WI, FFN1 "DenseReluDense.wi_0.weight", TRUNCATED, std_model, .when = GATED1),
    MATRIX(GATE, FFN1 "DenseReluDense.wi_1.weight", TRUNCATED, std_model, .when = GATED1),
    MATRIX(WO, FFN1 "DenseReluDense.wo.weight", TRUNCATED, std_ff, .when = CZ_WHEN_NO_CROSS),
    NORM(FFN_NORM, FFN1 "layer_norm.weight", .when = CZ_WHEN_NO_CROSS),
    MATRIX(WI, FFN2 "DenseReluDense.wi.weight", TRUNCATED, std_model, .when = PLAIN2),
    MATRIX(WI, FFN2 "DenseReluDense.wi_0.weight", TRUNCATED, std_model, .when = GATED2),
    MATRIX(GATE, FFN2 "DenseReluDense.wi_1.weight", TRUNCATED, std_model, .when = GATED2),
    MATRIX(WO, FFN2 "DenseReluDense.wo.weight", TRUNCATED, std_ff, .when = CZ_WHEN_CROSS),
    NORM(FFN_NORM, FFN2 "layer_norm.weight", .when = CZ_WHEN_CROSS),
    NORM(FINAL_NORM, "{s}.final_layer_norm.weight"),
    MATRIX(HEAD, "lm_head.weight", TRUNCATED, std_model, .when = CZ_WHEN_UNTIED),
    {.tensor = NULL}};

/* models.md 2.6: the embedding is the first present of three. */
static const cz_weight_alias aliases[] = {{"shared.weight", "encoder.embed_tokens.weight"},
                                          {"shared.weight", "decoder.embed_tokens.weight"},
                                          {NULL, NULL}};

static const char *const unused[] = {
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", NULL};

static const cz_config_key keys[] = {
    {.key = "vocab_size", .fact = CZ_FACT_VOCAB_SIZE, .missing = CZ_MISSING_ERROR},
    {.key = "d_model", .fact = CZ_FACT_D_MODEL, .missing = CZ_MISSING_ERROR},
    {.key = "d_kv", .fact = CZ_FACT_D_KV, .missing = CZ_MISSING_ERROR},
    {.key = "d_ff", .fact = CZ_FACT_D_FF, .missing = CZ_MISSING_ERROR},
    {.key = "num_layers", .fact = CZ_FACT_N_LAYERS, .missing = CZ_MISSING_ERROR},
    {.key = "num_decoder_layers",
     .fact = CZ_FACT_N_DECODER_LAYERS,
     .missing = CZ_MISSING_LIKE,
     .like = CZ_FACT_N_LAYERS},
    {.key = "num_heads", .fact = CZ_FACT_N_HEADS, .missing = CZ_MISSING_ERROR},
    {.key = "relative_attention_num_buckets", .fact = CZ_FACT_BUCKETS},
    {.key = "relative_attention_max_distance", .fact = CZ_FACT_MAX_DISTANCE},
    {.key = "dropout_rate", .fact = CZ_FACT_DROPOUT},
    {.key = "layer_norm_epsilon", .fact = CZ_FACT_NORM_EPS},
    {.key = "feed_forward_proj", .fact = CZ_FACT_ACTIVATION},
    {.key = "initializer_factor", .fact = CZ_FACT_INIT_FACTOR},
    {.key = "tie_word_embeddings", .fact = CZ_FACT_TIED, .missing = CZ_MISSING_TRUE},
    /* models.md 2.6: the newer key decides about scaling when it is there; what is tied is
     * decided by the weights */
    {.key = "scale_decoder_outputs",
     .fact = CZ_FACT_SCALED,
     .missing = CZ_MISSING_LIKE,
     .like = CZ_FACT_TIED},
    {.key = "pad_token_id", .fact = CZ_FACT_PAD_ID},
    {.key = "eos_token_id", .fact = CZ_FACT_EOS_ID},
    {.key = "decoder_start_token_id",
     .fact = CZ_FACT_START_ID,
     .missing = CZ_MISSING_LIKE,
     .like = CZ_FACT_PAD_ID},
    {.key = NULL}};

static const char *const ignored[] = {"is_gated_act", "dense_act_fn", "n_positions", "output_past",
                                      NULL};

/* "gated-gelu" means the tanh approximation (models.md 2.1). Without the key: the first. */
static const cz_projection projections[] = {
    {"relu", CZ_ACTIVATION_RELU, false},
    {"gelu", CZ_ACTIVATION_GELU, false},
    {"gelu_new", CZ_ACTIVATION_GELU_TANH, false},
    {"gelu_pytorch_tanh", CZ_ACTIVATION_GELU_TANH, false},
    {"gated-gelu", CZ_ACTIVATION_GELU_TANH, true},
    {"gated-gelu_new", CZ_ACTIVATION_GELU_TANH, true},
    {"gated-gelu_pytorch_tanh", CZ_ACTIVATION_GELU_TANH, true},
    {"gated-relu", CZ_ACTIVATION_RELU, true},
    {"tanh", CZ_ACTIVATION_TANH, false},
    {.name = NULL}};

/* Raffel et al. 2020, section 3.7, and the published v1.1 configurations (t5.md 1.4); nano
 * and mini are this project's. */
static const cz_model_size v1_0_sizes[] = {
    {"nano", 2, 128, 512, 4, 32},       {"mini", 3, 192, 768, 6, 32},
    {"small", 6, 512, 2048, 8, 64},     {"base", 12, 768, 3072, 12, 64},
    {"large", 24, 1024, 4096, 16, 64},  {"3b", 24, 1024, 16384, 32, 128},
    {"11b", 24, 1024, 65536, 128, 128}, {.name = NULL}};
static const cz_model_size v1_1_sizes[] = {
    {"nano", 2, 128, 320, 4, 32},      {"mini", 3, 192, 512, 6, 32},
    {"small", 8, 512, 1024, 6, 64},    {"base", 12, 768, 2048, 12, 64},
    {"large", 24, 1024, 2816, 16, 64}, {"xl", 24, 2048, 5120, 32, 64},
    {"xxl", 24, 4096, 10240, 64, 64},  {.name = NULL}};
static const cz_model_size stack_sizes[] = {
    {"nano", 2, 128, 512, 4, 32},      {"mini", 3, 192, 768, 6, 32},
    {"small", 6, 512, 2048, 8, 64},    {"base", 12, 768, 3072, 12, 64},
    {"large", 24, 1024, 4096, 16, 64}, {.name = NULL}};

/* models.md 2.7: the reports, and Hugging Face's way round, wo in float32. */
static const char float16[] =
    "in T5's published weights what wo yields goes beyond float16's largest number, 65504 (large "
    "and xl, by some reports base), and trainings from the seed diverged; T5 was made in bf16";

/* Root mean square norms before each sublayer, no biases, positions in the attention, no
 * scaling there, dropout at every place. */
#define T5_FACTS                                                                                   \
  .norm = CZ_NORM_RMS, .norm_place = CZ_NORM_BEFORE, .positions = CZ_POSITIONS_BUCKETS,            \
  .scaled_attention = false, .inner_dropout = true, .final_dropout = true, .float16 = float16,     \
  .keys = keys, .ignored = ignored, .projections = projections, .weights = weights,                \
  .aliases = aliases, .unused = unused
#define T5_DEFAULTS                                                                                \
  .vocab_size = 32128, .buckets = 32, .max_distance = 128, .dropout = 0.1, .norm_eps = 1e-6,       \
  .init_factor = 1, .heads = CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM), .pad_id = 0, .eos_id = 1,             \
  .start_id = 0
#define RELU_TIED                                                                                  \
  { T5_DEFAULTS, .activation = CZ_ACTIVATION_RELU, .gated = false, .tied = true, .scaled = true }

const cz_family cz_family_t5 = {.name = "t5",
                                .help = "T5 v1.0: ReLU, output tied to the embedding",
                                .architecture = CZ_ENCODER_DECODER,
                                T5_FACTS,
                                .defaults = RELU_TIED,
                                .sizes = v1_0_sizes,
                                .model_types = {"t5", "mt5"},
                                .hf_class = "T5ForConditionalGeneration"};

const cz_family cz_family_t5_v1_1 = {.name = "t5-v1_1",
                                     .help = "T5 v1.1: gated GELU, output of its own",
                                     .architecture = CZ_ENCODER_DECODER,
                                     T5_FACTS,
                                     .defaults = {T5_DEFAULTS,
                                                  .activation = CZ_ACTIVATION_GELU_TANH,
                                                  .gated = true, .tied = false, .scaled = false},
                                     .sizes = v1_1_sizes,
                                     .model_types = {"t5", "mt5"},
                                     .hf_class = "T5ForConditionalGeneration"};

/* Single stacks have no class at Hugging Face. */
const cz_family cz_family_lm = {.name = "lm",
                                .help = "T5's language model: one causal stack",
                                .architecture = CZ_LANGUAGE_MODEL,
                                T5_FACTS,
                                .defaults = RELU_TIED,
                                .sizes = stack_sizes,
                                .model_types = {"cloze-t5-stack"},
                                .hf_class = "ClozeT5LanguageModel"};

const cz_family cz_family_prefix_lm = {
    .name = "prefix-lm",
    .help = "T5's prefix language model: one stack, inputs fully visible",
    .architecture = CZ_PREFIX_LM,
    T5_FACTS,
    .defaults = RELU_TIED,
    .sizes = stack_sizes,
    .model_types = {"cloze-t5-stack"},
    .hf_class = "ClozeT5PrefixLanguageModel"};
