# SPDX-License-Identifier: Apache-2.0
# Writes files as C arrays: cmake -DOUT=parts.c -DNAMES=a;b -DFILES=a.html;b.css -P embed.cmake gives
# dp_embedded_a[] and dp_embedded_a_size.
set(text "/* Made by cmake/embed.cmake. */\n#include \"export/html_parts.h\"\n")
foreach(name file IN ZIP_LISTS NAMES FILES)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND text "const unsigned char dp_embedded_${name}[] = {\n${hex}};\n"
    "const size_t dp_embedded_${name}_size = ${size};\n")
endforeach()
file(WRITE ${OUT} "${text}")
