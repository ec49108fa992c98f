/* A folder that appears whole: files go into a folder beside it, which takes the name by a
 * rename. What somebody made is never written over: the name must be free, or an empty folder's.
 *
 * open, write files below `aside`, commit; discard ends it in any case and removes what was not
 * committed. A killed process leaves the folder beside, which the next one empties and uses. */
#ifndef CZ_BASE_NEW_FOLDER_H
#define CZ_BASE_NEW_FOLDER_H

#include "base/status.h"

typedef struct cz_new_folder {
  char path[4096], aside[4096];
  int handle; /* the lock on aside; -1: closed */
} cz_new_folder;

CZ_MUST cz_status cz_new_folder_open(cz_new_folder *f, const char *path);
CZ_MUST cz_status cz_new_folder_commit(cz_new_folder *f);
void cz_new_folder_discard(cz_new_folder *f);
CZ_MUST cz_status cz_folder_remove(const char *path);

#endif
