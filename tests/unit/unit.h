/* tests/unit/unit.h: what every unit test starts with: cmocka and the headers it wants before it. */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#endif
