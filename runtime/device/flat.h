/* How parameters lie in flat buffers (kernels/common/flat.h), for folders that see no kernels: an
 * optimizer's op finds them by the rule that their list is laid out by. */
#ifndef CZ_DEVICE_FLAT_H
#define CZ_DEVICE_FLAT_H

#include "kernels/common/flat.h"

#endif
