// The one translation unit of the kernel. What it exports are C functions that never throw; each header says what they take.
#include "csv.h"
#if __has_include("json.h")
#include "json.h"
#endif
#if __has_include("hashing.h")
#include "hashing.h"
#endif
