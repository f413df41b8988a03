# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUTS=a;b -DNAMES=x;y -DOUTPUT=out.c -P embed.cmake: files as byte arrays, ended by a zero byte.
set(text "/* Made by cmake/embed.cmake. */\n")
list(LENGTH INPUTS count)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  list(GET INPUTS ${i} input)
  list(GET NAMES ${i} name)
  file(READ ${input} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND text "const char ${name}[] = {${bytes}0};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
