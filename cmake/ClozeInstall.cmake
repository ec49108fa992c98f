# The program lies in bin/ of the build folder; `cmake --install` puts it, its manual page, the list
# of keys, the experiment files and the scripts that prepare data below the prefix, and the script
# and the sample find one another there as they do in the repository.
set_target_properties(cloze PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

add_custom_command(
  OUTPUT "${CMAKE_BINARY_DIR}/cloze.1"
  COMMAND cloze help man > "${CMAKE_BINARY_DIR}/cloze.1"
  DEPENDS cloze
  COMMENT "Manual page from the table of commands")
add_custom_command(
  OUTPUT "${CMAKE_BINARY_DIR}/keys.md"
  COMMAND cloze help keys-markdown > "${CMAKE_BINARY_DIR}/keys.md"
  DEPENDS cloze
  COMMENT "Keys of a configuration from their tables")
add_custom_target(cloze_man ALL DEPENDS "${CMAKE_BINARY_DIR}/cloze.1" "${CMAKE_BINARY_DIR}/keys.md")

install(TARGETS cloze RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES "${CMAKE_BINARY_DIR}/cloze.1" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(DIRECTORY experiments DESTINATION ${CMAKE_INSTALL_DATADIR}/cloze PATTERN results EXCLUDE)
# Algorithms of products that checks of cards chose: the module looks for them in share/cloze/gpu
# beside the program's folder (runtime/cuda/cublaslt_files.c), which in the build folder is a link.
install(DIRECTORY experiments/results/gpu/ DESTINATION share/cloze/gpu COMPONENT algorithms
    FILES_MATCHING PATTERN "*.cublaslt-*.txt" PATTERN curves EXCLUDE)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/share/cloze")
file(CREATE_LINK "${CMAKE_SOURCE_DIR}/experiments/results/gpu" "${CMAKE_BINARY_DIR}/share/cloze/gpu"
    SYMBOLIC)
install(PROGRAMS scripts/prepare_debian.sh scripts/fetch_debian_text.py scripts/train_vocabulary.py
    DESTINATION ${CMAKE_INSTALL_DATADIR}/cloze/scripts)
install(FILES LICENSE README.md CHANGELOG.md "${CMAKE_BINARY_DIR}/keys.md" DESTINATION
    ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
