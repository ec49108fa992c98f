/* The attribute structs of all ops, for those who build graphs. Kernels themselves are
 * called by the engine alone. */
#ifndef CZ_GRAPH_OPS_H
#define CZ_GRAPH_OPS_H

#include "kernels/activation/activation.h"
#include "kernels/adafactor/adafactor.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dropout/dropout.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"

#endif
