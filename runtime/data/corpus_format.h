/* What writer and reader of a corpus file share. Private to this folder.
 *
 * The root group has the attributes format, version, kind ("documents"), tokenizer_hash,
 * vocabulary and sources (a JSON list). There are two data sets: tokens (uint16 when every
 * id fits, else int32; one document behind the other) and offsets (uint64, one more than
 * documents: where each begins and the last ends). Both are cut into chunks of 64 Ki
 * elements under a fletcher32 checksum and are not compressed (docs/design.md 8): reading
 * then takes no processor time from training. */
#ifndef CZ_DATA_CORPUS_FORMAT_H
#define CZ_DATA_CORPUS_FORMAT_H

#include "tensor/h5_file.h"

#define CZ__CORPUS_FORMAT "cloze-corpus"
enum { CZ__CORPUS_VERSION = 1, CZ__CHUNK = 64 << 10 /* elements */ };

#endif
