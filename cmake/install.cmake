# SPDX-License-Identifier: Apache-2.0
# What cmake --install puts where, but for the programs and libraries, which say so where they are built. All paths
# among our own files are relative (the library finds its agent beside itself, the command its library in ../lib, the
# .pc file its prefix by its own place), so that DESTDIR, --prefix and a moved tree work alike.

install(FILES include/deepprof.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(NOT DEEPPROF_HOST_ONLY)
  install(FILES packaging/deepprof.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES packaging/deepprof.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_BINDIR}")
  message(FATAL_ERROR "CMAKE_INSTALL_LIBDIR, _INCLUDEDIR and _BINDIR: relative to the prefix, please; the installed files find each other that way")
endif()
file(RELATIVE_PATH DEEPPROF_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" DEEPPROF_PC_UP "${DEEPPROF_PC_UP}")
configure_file(packaging/deepprof.pc.in deepprof.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/deepprof.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
