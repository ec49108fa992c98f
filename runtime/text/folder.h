/* A folder of the files that tokenizers had before there was a tokenizer.json, while one is made
 * of them. Internal.
 *
 * A family is a row (folder_families.c): which files, which special tokens, and two functions, one
 * for the model and the parts around it, one for the post-processor, which needs the ids of the
 * special tokens. */
#ifndef CZ_TEXT_FOLDER_H
#define CZ_TEXT_FOLDER_H

#include "json/json.h"

typedef enum cz__role {
  CZ__BOS,
  CZ__EOS,
  CZ__UNK,
  CZ__SEP,
  CZ__PAD,
  CZ__CLS,
  CZ__MASK,
  CZ__ROLES
} cz__role;

/* A settings file beside the vocabulary; an empty object where there is none. */
typedef struct cz__settings {
  char path[4096];
  json_t *root;
  cz_json_place at;
} cz__settings;

typedef struct cz__folder {
  const char *path;
  const struct cz__family *family;
  cz__settings config, map, added; /* tokenizer_config, special_tokens_map, added_tokens */
  const char *roles[CZ__ROLES];    /* the special tokens; null: there is none in that role */
  json_t *root;                    /* the tokenizer.json */
  json_t *ids;                     /* {token: id}, of the model and then of the added tokens */
  json_t *marks;                   /* [content, special]: added tokens that the model file names */
} cz__folder;

typedef struct cz__family {
  const char *name;       /* model_type of config.json */
  const char *types[2];   /* others of the same tokenizer; null: no more */
  const char *classes[3]; /* tokenizer_class of tokenizer_config.json, without "Fast" */
  const char *files[2];
  const char *roles[CZ__ROLES];
  bool mask_takes_space; /* lstrip: "a <mask>" is one word less a space */
  cz_status (*model)(cz__folder *f);
  cz_status (*post)(cz__folder *f);
} cz__family;

extern const cz__family cz__families[];
extern const size_t cz__n_families;

/* folder_files.c: the vocabularies. */
CZ_MUST cz_status cz__folder_read_text(cz_buf *text, char path[4096], const cz__folder *f,
                                       const char *name);
CZ_MUST cz_status cz__folder_vocab_txt(json_t **vocab, const cz__folder *f, const char *name);
CZ_MUST cz_status cz__folder_merges_txt(json_t **merges, const cz__folder *f, const char *name);

/* folder_special.c */
CZ_MUST cz_status cz__folder_roles(cz__folder *f);
CZ_MUST cz_status cz__folder_added(cz__folder *f);

#endif
