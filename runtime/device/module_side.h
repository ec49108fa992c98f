/* For the sources of a module alone: CZ_FAIL, CZ_TRY and CZ_NOTE work there as in the program, for
 * module_side.c has the functions behind them, which call the program's. */
#ifndef CZ_DEVICE_MODULE_SIDE_H
#define CZ_DEVICE_MODULE_SIDE_H

#include "device/module.h"

CZ_C_BEGIN

/* Set by cz_module_device before anything can fail. */
extern const cz_host_api *cz_host;

CZ_C_END

#endif
