# `cmake --install` puts the program, its experiments and its scripts where it looks for them at run time.
install(TARGETS cloze RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY experiments DESTINATION ${CMAKE_INSTALL_DATADIR}/cloze PATTERN results EXCLUDE)
install(DIRECTORY scripts DESTINATION ${CMAKE_INSTALL_DATADIR}/cloze USE_SOURCE_PERMISSIONS)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
