/* Model families. A family is facts, a list of weights with their names at Hugging Face,
 * a list of configuration keys, and named sizes: one file in nn/models/ and one line in
 * models/families.def. No other file knows a family by name. Declaring, counting,
 * loading, saving and building graphs walk these lists.
 *
 * So a new family is written as data. What it computes must be a combination of the facts
 * below; a computation that none of them describes needs a new fact and its line in
 * layers.c. */
#ifndef CZ_NN_FAMILY_H
#define CZ_NN_FAMILY_H

#include "tensor/params.h"

typedef enum cz_architecture {
  CZ_ENCODER_DECODER, /* bidirectional encoder, causal decoder with cross-attention */
  CZ_LANGUAGE_MODEL,  /* one causal stack */
  CZ_PREFIX_LM,       /* one stack; the inputs see one another, the targets see what came before */
  CZ_ENCODER,         /* one stack whose tokens all see one another */
  CZ_ARCHITECTURES
} cz_architecture;

extern const char *const cz_architecture_names[CZ_ARCHITECTURES];

/* What stands on the last states. A model has the parameters of the heads that its
 * configuration names, so that a body that classifies carries no decoder. */
typedef enum cz_head {
  CZ_HEAD_CAUSAL_LM,      /* the token behind each position; T5's decoder too */
  CZ_HEAD_MASKED_LM,      /* tokens that are hidden in the input: transform, vocabulary, bias */
  CZ_HEAD_NEXT_SENTENCE,  /* does the second text follow the first; ALBERT: are they in order */
  CZ_HEAD_CLASSIFICATION, /* one of num_labels classes for a segment */
  CZ_HEADS
} cz_head;

#define CZ_HEAD_BIT(head) (1u << (head))

extern const char *const cz_head_names[CZ_HEADS];

/* "problem_type" of config.json; only the first is computed here. */
typedef enum cz_problem {
  CZ_PROBLEM_SINGLE_LABEL,
  CZ_PROBLEM_MULTI_LABEL,
  CZ_PROBLEM_REGRESSION,
  CZ_PROBLEMS
} cz_problem;

extern const char *const cz_problem_names[CZ_PROBLEMS];

typedef enum cz_norm_place {
  CZ_NORM_BEFORE, /* x + f(norm(x)) and a norm at the end of the stack */
  CZ_NORM_AFTER   /* norm(x + f(x)) */
} cz_norm_place;

typedef enum cz_positions {
  CZ_POSITIONS_BUCKETS, /* bias on attention scores by bucketed distance, per stack (t5.md 1.2) */
  CZ_POSITIONS_LEARNED, /* an embedding of the place in the segment is added to the token's */
  CZ_POSITIONS_NONE
} cz_positions;

/* What a configuration says about one model of a family. Sizes are numbers of rows or
 * channels, ids are places in the vocabulary, dropout is the probability of dropping. A
 * member that a family's facts do not use keeps the family's default and is neither read
 * nor written. */
typedef struct cz_model_config {
  const struct cz_family *family;
  int64_t vocab_size;                 /* V, rows of the embedding */
  int64_t d_model;                    /* D */
  int64_t d_embedding;                /* E, width of embeddings; D where the family has no key */
  int64_t d_kv;                       /* K, size of a head; heads * d_kv need not be d_model */
  int64_t d_ff;                       /* F */
  int64_t n_layers, n_decoder_layers; /* L; single stacks use n_layers */
  int64_t n_heads;                    /* H */
  int64_t buckets, max_distance;      /* CZ_POSITIONS_BUCKETS */
  int64_t n_positions;                /* CZ_POSITIONS_LEARNED: tokens of a segment at most, or with
                                         positions_behind_pad the rows of the table */
  int64_t n_types;                    /* token types, rows of their embedding */
  int64_t n_groups, n_inner; /* shared_blocks: different groups of blocks, blocks in a group */
  int64_t n_labels;          /* C, classes of the classification head */
  /* hidden states; without a key of their own the following are like it, but for the last,
   * which is 0 then: attention weights, embeddings, what goes into the classifier */
  double dropout, attention_dropout, embedding_dropout, classifier_dropout;
  double norm_eps, init_factor;
  bool gated;                               /* feed-forward: act(x Wi) * (x Wg) */
  bool tied;                                /* the output matrix is the embedding */
  bool scaled;                              /* the output's input is multiplied by d_model^-0.5 */
  bool layer_scaled;                        /* scores of block i are divided by i + 1, too */
  int activation;                           /* cz_activation_kind */
  int problem;                              /* cz_problem */
  unsigned heads;                           /* bits of cz_head */
  int64_t pad_id, eos_id, start_id, bos_id; /* -1: the model has none */
} cz_model_config;

/* The members of cz_model_config as data: for reading, writing and comparing them. One
 * list serves a configuration's `model` section, config.json and the messages of both. */
typedef enum cz_fact {
  CZ_FACT_VOCAB_SIZE,
  CZ_FACT_D_MODEL,
  CZ_FACT_D_KV,
  CZ_FACT_D_FF,
  CZ_FACT_N_LAYERS,
  CZ_FACT_N_DECODER_LAYERS,
  CZ_FACT_N_HEADS,
  CZ_FACT_BUCKETS,
  CZ_FACT_MAX_DISTANCE,
  CZ_FACT_N_POSITIONS,
  CZ_FACT_D_EMBEDDING,
  CZ_FACT_N_TYPES,
  CZ_FACT_N_GROUPS,
  CZ_FACT_N_INNER,
  CZ_FACT_N_LABELS,
  CZ_FACT_DROPOUT,
  CZ_FACT_ATTENTION_DROPOUT,
  CZ_FACT_EMBEDDING_DROPOUT,
  CZ_FACT_CLASSIFIER_DROPOUT,
  CZ_FACT_NORM_EPS,
  CZ_FACT_INIT_FACTOR,
  CZ_FACT_ACTIVATION, /* with `gated`, as one name */
  CZ_FACT_TIED,
  CZ_FACT_SCALED,
  CZ_FACT_LAYER_SCALED,
  CZ_FACT_PAD_ID,
  CZ_FACT_EOS_ID,
  CZ_FACT_START_ID,
  CZ_FACT_BOS_ID, /* read and written, for whoever opens the folder next */
  CZ_FACTS
} cz_fact;

typedef enum cz_fact_kind { CZ_FACT_INT, CZ_FACT_REAL, CZ_FACT_BOOL, CZ_FACT_NAME } cz_fact_kind;

typedef struct cz_fact_row {
  const char *name; /* as configurations of this program spell it */
  cz_fact_kind kind;
  size_t at;        /* in cz_model_config */
  int64_t min, max; /* integers only */
} cz_fact_row;

extern const cz_fact_row cz_facts[CZ_FACTS];

/* One key of config.json. */
typedef enum cz_key_missing {
  CZ_MISSING_DEFAULT, /* the family's default holds */
  CZ_MISSING_ERROR,
  CZ_MISSING_LIKE, /* the value of the fact `like`, which is read before */
  CZ_MISSING_TRUE
} cz_key_missing;

typedef struct cz_config_key {
  const char *key; /* null: end of the list */
  cz_fact fact;
  cz_key_missing missing; /* what holds without the key */
  cz_fact like;
  const char *alias; /* another name that files have for it, or null */
} cz_config_key;

/* A key whose other values mean a computation that this program does not have. */
typedef struct cz_config_must {
  const char *key;  /* null: end of the list */
  const char *text; /* the value that it must have, or null: */
  bool truth;
} cz_config_must;

/* A name of a feed-forward's activation; the first row of a kind is how it is written. */
typedef struct cz_projection {
  const char *name; /* null: end of the list */
  int activation;
  bool gated;
} cz_projection;

/* The parameters that a model can have. Those of a block exist once in every block. A
 * slot says what the parameter is to the computation, a weight row what a family calls it
 * and how it starts; a slot without a row does not exist in the family, and the layer
 * leaves out its term. Shapes are those of this program, [out, in] for products. */
typedef enum cz_slot {
  CZ_SLOT_EMBEDDING,      /* [V, E] */
  CZ_SLOT_POSITIONS,      /* [offset + n_positions, E], of each stack */
  CZ_SLOT_TYPES,          /* [types, E] */
  CZ_SLOT_EMBEDDING_NORM, /* [E] */
  CZ_SLOT_EMBEDDING_NORM_BIAS,
  CZ_SLOT_EMBEDDING_MAP, /* [D, E], from embeddings to the first block */
  CZ_SLOT_EMBEDDING_MAP_BIAS,
  CZ_SLOT_SELF_Q, /* q, k, v [H*K, D], o [D, H*K]; biases as long as the output */
  CZ_SLOT_SELF_Q_BIAS,
  CZ_SLOT_SELF_K,
  CZ_SLOT_SELF_K_BIAS,
  CZ_SLOT_SELF_V,
  CZ_SLOT_SELF_V_BIAS,
  CZ_SLOT_SELF_O,
  CZ_SLOT_SELF_O_BIAS,
  CZ_SLOT_SELF_NORM, /* norms [D] */
  CZ_SLOT_SELF_NORM_BIAS,
  CZ_SLOT_POSITION_BIAS, /* [buckets, H], of each stack, declared with its first block */
  CZ_SLOT_CROSS_Q,
  CZ_SLOT_CROSS_Q_BIAS,
  CZ_SLOT_CROSS_K,
  CZ_SLOT_CROSS_K_BIAS,
  CZ_SLOT_CROSS_V,
  CZ_SLOT_CROSS_V_BIAS,
  CZ_SLOT_CROSS_O,
  CZ_SLOT_CROSS_O_BIAS,
  CZ_SLOT_CROSS_NORM,
  CZ_SLOT_CROSS_NORM_BIAS,
  CZ_SLOT_WI, /* [F, D]; of gated feed-forwards the activated one */
  CZ_SLOT_WI_BIAS,
  CZ_SLOT_GATE, /* [F, D] */
  CZ_SLOT_GATE_BIAS,
  CZ_SLOT_WO, /* [D, F] */
  CZ_SLOT_WO_BIAS,
  CZ_SLOT_FFN_NORM,
  CZ_SLOT_FFN_NORM_BIAS,
  CZ_SLOT_FINAL_NORM, /* of each stack */
  CZ_SLOT_FINAL_NORM_BIAS,
  CZ_SLOT_HEAD,     /* [V, E]; the embedding where the output is tied */
  CZ_SLOT_LM_DENSE, /* [E, D], the masked LM's transform: product, activation, norm */
  CZ_SLOT_LM_DENSE_BIAS,
  CZ_SLOT_LM_NORM, /* [E] */
  CZ_SLOT_LM_NORM_BIAS,
  CZ_SLOT_LM_BIAS, /* [V], of the vocabulary's logits */
  CZ_SLOT_POOLER,  /* [D, D], from the pooled state to what classifiers read */
  CZ_SLOT_POOLER_BIAS,
  CZ_SLOT_NEXT_SENTENCE, /* [2, D] */
  CZ_SLOT_NEXT_SENTENCE_BIAS,
  CZ_SLOT_CLASSIFIER, /* [C, D] */
  CZ_SLOT_CLASSIFIER_BIAS,
  CZ_SLOTS
} cz_slot;

/* When a weight exists; all that are named must hold. Bits of cz_weight.when; 0:
 * always. */
enum {
  CZ_WHEN_GATED = 1,
  CZ_WHEN_NOT_GATED = 2,
  CZ_WHEN_CROSS = 4, /* in a stack with cross-attention */
  CZ_WHEN_NO_CROSS = 8,
  CZ_WHEN_UNTIED = 16
};

/* One row of the weight map, in the order of declaration. GPT-2's fused c_attn [D, 3 D] is
 * three rows of one tensor: parts 0, 1 and 2 of 3, transposed. The initialiser's scale is a
 * function because T5's depend on sizes (t5.md 1.3); the configuration's init_factor
 * multiplies it, but for CZ_INIT_ONE with a scale of its own. */
typedef struct cz_weight {
  cz_slot slot;
  const char *tensor; /* at Hugging Face, {s} the stack, {i} the block, {g} its group, {k} its
                         place in that; null: end of the list */
  unsigned when;
  int part, parts; /* this parameter is row range `part` of `parts` equal ones; 0, 0: all rows */
  bool transposed; /* the tensor is [in, out]; ranges are those of its columns then */
  cz_init_kind init;
  double (*scale)(const cz_model_config *c); /* of the initialiser; null: 1 */
} cz_weight;

/* Another name under which files hold a tensor: old files of T5 store the embedding as
 * encoder's and decoder's too. Where both are there, they must hold the same numbers. */
typedef struct cz_weight_alias {
  const char *tensor, *alias; /* null: end of the list */
} cz_weight_alias;

/* A class of "architectures" with its heads; the first row of some heads is how a model with
 * them is written. */
typedef struct cz_head_class {
  const char *name; /* null: end of the list */
  unsigned heads;
} cz_head_class;

typedef struct cz_model_size {
  const char *name; /* behind the family's: "t5-small"; null: end of the list */
  int64_t layers, d_model, d_ff, heads, d_kv;
} cz_model_size;

/* Everything in it is static and constant. */
typedef struct cz_family {
  const char *name, *help;
  /* what its stacks compute */
  cz_architecture architecture;
  int norm; /* cz_norm_kind; biases of norms and products exist where `weights` names them */
  cz_norm_place norm_place;
  cz_positions positions;
  int64_t position_offset;   /* the first token of a segment has this row of the position table */
  bool positions_behind_pad; /* instead, that behind pad_id, and padding is not counted */
  bool padding_row;          /* look-ups of pad_id give its row no gradient; with
                                positions_behind_pad that of the position table, too */
  bool shared_blocks;        /* n_groups and n_inner say which blocks are one */
  bool scaled_attention;     /* scores are divided by sqrt(d_kv) */
  bool inner_dropout;        /* between the feed-forward's two products */
  bool final_dropout;        /* after a stack's last norm */
  bool no_self_dropout, no_ffn_dropout; /* none on what these sublayers add */
  /* its heads */
  bool lm_gelu;               /* the masked LM's transform has GELU, not the body's activation */
  bool pooled_last;           /* classifiers read a segment's last token, not the first */
  bool pooler_dropout;        /* before the pooler */
  int pooler_activation;      /* behind it */
  bool next_sentence_dropout; /* what goes into that classifier has dropout, too */
  const char *float16; /* what that dtype does to the family, a sentence; null: nothing known */
  cz_model_config defaults;
  const cz_model_size *sizes;
  /* how Hugging Face writes it */
  const char *model_types[2]; /* "model_type" of config.json: as written, and another one */
  const char *hf_class;       /* "architectures" of the body, or of a family without `classes` */
  const cz_head_class *classes;
  const char *tied_name; /* of the embedding among named_parameters, where that is the output's */
  const char *prefix;    /* of the body's tensors; files of the body alone lack it. Null: none */
  const cz_config_key *keys;
  const cz_config_must *musts;
  const char *const *ignored; /* further keys that change no number; null: end of the list */
  const cz_projection *projections;
  const cz_weight *weights;
  const cz_weight_alias *aliases;
  const char *const *unused; /* tensors that nothing reads, of old files and of further heads;
                                with * for any characters */
} cz_family;

/* Looking up. A name is that of a family (`t5`) or of a family's model (`t5-small`). */
const cz_family *cz_family_at(size_t i);
CZ_MUST cz_status cz_family_find(const cz_family **family, const char *name);
size_t cz_model_names(const char **names, size_t n);
CZ_MUST cz_status cz_model_config_named(cz_model_config *config, const char *name);
CZ_MUST cz_status cz_model_config_check(const cz_model_config *config, const char **key);
const cz_weight *cz_family_weight(const cz_family *family, cz_slot slot);
const char *cz_family_key(const cz_family *family, cz_fact fact);
unsigned cz_family_heads(const cz_family *family);
int64_t cz_model_embedding_width(const cz_model_config *config);
int64_t cz_model_position_offset(const cz_model_config *config);
int64_t cz_model_longest(const cz_model_config *config);
double cz_model_dropout(const cz_model_config *config, cz_fact which);

#endif
