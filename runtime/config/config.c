/* Opening files with their bases, and what happens to the root afterwards: scale and
 * overrides. */
#include "config/tree.h"
#include "base/fs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 16 << 20, BASES_DEEP = 16 };

typedef struct opening { /* a file on the way from the one that was asked for down to the base that
                            is being read */
  const struct opening *by;
  char real[PATH_MAX];
  int depth;
} opening;

static cz_status read_file(cz_config *c, const cz_config_node **out, const char *path,
                           const opening *by);

static cz_status one_base(cz_config *c, const cz_config_node **under, const cz_config_node *name,
                          const char *path, const opening *by) {
  const char *text = NULL;
  char folder[PATH_MAX], file[PATH_MAX];
  CZ_TRY(cz_config_text(&text, name));
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = '\0';
  CZ_TRY(cz_fs_join(file, sizeof file, slash ? folder : "", text));
  if (!cz_fs_exists(file) || cz_fs_is_dir(file))
    return cz_config_error(name, "there is no file %s", file);
  for (const opening *o = by; o; o = o->by) {
    char real[PATH_MAX];
    if (realpath(file, real) && !strcmp(real, o->real))
      return cz_config_error(name, "%s names itself as its base, directly or through others", file);
  }
  if (by->depth == BASES_DEEP)
    return cz_config_error(name, "more than %d bases of bases", BASES_DEEP);
  const cz_config_node *base;
  CZ_TRY(read_file(c, &base, file, by));
  return *under ? cz_config_merge(c, under, *under, base) : (*under = base, CZ_OK);
}

/* Lays ROOT over the files that its `base` names, the later of a list over the
 * earlier. */
static cz_status apply_bases(cz_config *c, const cz_config_node **root, const char *path,
                             const opening *by) {
  const cz_config_node *bases = cz_config_get(*root, "base"), *under = NULL, *over;
  if (!bases) return CZ_OK;
  if (bases->kind == CZ_CONFIG_SCALAR) CZ_TRY(one_base(c, &under, bases, path, by));
  if (bases->kind == CZ_CONFIG_MAPPING)
    return cz_config_error(bases, "expected the name of a file, or a list of names");
  for (size_t i = 0; i < bases->count; i++)
    CZ_TRY(one_base(c, &under, bases->entries[i].value, path, by));
  CZ_TRY(cz_config_without(c, &over, *root, "base"));
  return cz_config_merge(c, root, under ? under : over, over);
}

static cz_status read_text(cz_config *c, const cz_config_node **out, const char *name,
                           const char *text, size_t n) {
  if (n > FILE_BYTES)
    return CZ_FAIL(CZ_EUSAGE, "%s: %zu bytes is too long for a configuration", name, n);
  cz__source *source;
  CZ_TRY(cz__config_source(c->arena, &source, name, text, n, false));
  CZ_TRY(cz__config_yaml(c->arena, out, source, 0, ""));
  return cz_config_expect(*out, CZ_CONFIG_MAPPING);
}

static cz_status read_file(cz_config *c, const cz_config_node **out, const char *path,
                           const opening *by) {
  opening here = {.by = by, .depth = by ? by->depth + 1 : 0};
  if (cz_fs_is_dir(path)) return CZ_FAIL(CZ_EUSAGE, "%s: is a folder, expected a YAML file", path);
  if (!realpath(path, here.real)) return CZ_FAIL(CZ_EUSAGE, "%s: there is no such file", path);
  cz_buf text = {0};
  cz_status st = cz_fs_read(path, &text);
  if (st == CZ_OK) st = read_text(c, out, path, text.data ? text.data : "", text.len);
  cz_buf_free(&text);
  return st == CZ_OK ? apply_bases(c, out, path, &here) : CZ_NOTE(st, "reading %s", path);
}

static cz_status create(cz_config **config) {
  CZ_TRY(cz_alloc(config, 1, sizeof **config));
  cz_status st = cz_arena_create(&(*config)->arena, "configuration");
  if (st != CZ_OK) cz_config_destroy(config);
  return st;
}

/** Reads the file PATH and the files that its `base:` names (one or a list, relative to
 * the file that names them); merged key by key, the file itself wins. The caller
 * destroys the configuration. CZ_EUSAGE for anything wrong in a file, CZ_EIO when the
 * system refuses. */
cz_status cz_config_open(cz_config **config, const char *path) {
  CZ_TRY(create(config));
  cz_status st = read_file(*config, &(*config)->root, path, NULL);
  if (st != CZ_OK) cz_config_destroy(config);
  return st;
}

/** Reads N bytes of YAML; NAME appears in messages. A `base:` is an ordinary key here.
 * The caller destroys the configuration. */
cz_status cz_config_parse(cz_config **config, const char *name, const char *text, size_t n) {
  CZ_TRY(create(config));
  cz_status st = read_text(*config, &(*config)->root, name, text, n);
  if (st != CZ_OK) cz_config_destroy(config);
  return st;
}

/** A configuration made of `key=value` words alone, as for `cloze objective NAME
 * key=value`. The caller destroys it. */
cz_status cz_config_from_words(cz_config **config, const char *const *words, size_t n) {
  CZ_TRY(cz_config_parse(config, "arguments", "{}", 2));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = cz_config_set(*config, words[i]);
  if (st != CZ_OK) cz_config_destroy(config);
  return st;
}

/** Frees everything that was handed out, clears the pointer, accepts null. */
void cz_config_destroy(cz_config **config) {
  if (!*config) return;
  cz_arena_destroy(&(*config)->arena);
  free(*config);
  *config = NULL;
}

/** The whole tree, a mapping. */
const cz_config_node *cz_config_root(const cz_config *config) { return config->root; }

/* Reads N bytes of YAML into a node beside the root, e.g. a section's resolved values to
 * be merged. NAME appears in messages. */
static cz_status read_node(cz_config *config, const cz_config_node **out, const char *name,
                           const char *text, size_t n) {
  cz__source *source;
  CZ_TRY(cz__config_source(config->arena, &source, name, text, n, false));
  return cz__config_yaml(config->arena, out, source, 0, "");
}

/** The scalar NODE with another TEXT: what stands for it once names in it are resolved.
 * Complaints still point at NODE's place. */
cz_status cz_config_retext(cz_config *config, const cz_config_node **out,
                           const cz_config_node *node, const char *text) {
  cz_config_node *made;
  char *copy;
  CZ_TRY(cz_arena_strdup(config->arena, &copy, text));
  CZ_TRY(cz__config_node(config->arena, &made, CZ_CONFIG_SCALAR, node->at, node->path));
  made->quoted = true;
  made->text = copy;
  *out = made;
  return CZ_OK;
}

/* The entry that SCALE names among the scales; *NAME is the entry of the key `scale` when
 * the caller chose none. */
static cz_status find_scale(const cz_config *c, const cz_config_node *scales, const char *scale,
                            const cz_config_node *name, const cz_config_node **out) {
  *out = cz_config_get(scales, scale);
  if (*out) return CZ_OK;
  const char **names;
  CZ_TRY(cz_arena_alloc(c->arena, &names, scales->count + 1, sizeof *names));
  for (size_t i = 0; i < scales->count; i++) names[i] = scales->entries[i].key;
  return name ? cz__config_unknown(name->at, name->path, "unknown scale", scale, names,
                                   scales->count)
              : cz__config_unknown(scales->at, scales->path, "unknown scale", scale, names,
                                   scales->count);
}

/* ROOT with `scale: NAME` in it. */
static cz_status name_scale(cz_config *c, const cz_config_node **root, const char *scale) {
  cz_buf text = {0};
  const cz_config_node *name;
  cz_status st = cz__config_scalar(&text, scale, true);
  if (st == CZ_OK) st = read_node(c, &name, "scale", text.data, text.len);
  cz_buf_free(&text);
  return st == CZ_OK ? cz_config_with(c, root, *root, "scale", name) : st;
}

/** Lays the mapping `scales: {SCALE: ...}` over the root and removes `scales`; the root
 * keeps `scale: SCALE`. SCALE null: the one that the key `scale` names, or nothing when
 * there is no such key. CZ_EUSAGE with the nearest spelling for a scale that the file
 * does not have; a file without scales accepts only the scale it says it is (a resolved
 * configuration run again). */
cz_status cz_config_scale(cz_config *config, const char *scale) {
  const cz_config_node *scales = cz_config_get(config->root, "scales"),
                       *name = cz_config_get(config->root, "scale"), *over, *root;
  const char *own = NULL;
  if (name) CZ_TRY(cz_config_text(&own, name));
  if (!scales) {
    if (!scale || (own && !strcmp(own, scale))) return CZ_OK;
    return own ? cz_config_error(
                     name, "this file is of the scale '%s' and has no other; '%s' was asked for",
                     own, scale)
               : cz_config_error(config->root, "this file has no scales; '%s' was asked for",
                                 scale);
  }
  CZ_TRY(cz_config_expect(scales, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_without(config, &root, config->root, "scales"));
  if (scale || own) {
    CZ_TRY(find_scale(config, scales, scale ? scale : own, scale ? NULL : name, &over));
    CZ_TRY(cz_config_expect(over, CZ_CONFIG_MAPPING));
    CZ_TRY(cz_config_merge(config, &root, root, over));
    if (scale) CZ_TRY(name_scale(config, &root, scale));
  }
  config->root = root;
  return CZ_OK;
}

/** Applies one override `a.b.c=value` to the root, as cz_config_with_word. */
cz_status cz_config_set(cz_config *config, const char *word) {
  return cz_config_with_word(config, &config->root, config->root, word);
}
