# One Debian package of what `cmake --install` puts down: cpack -G DEB in the build folder. What it depends on is read
# from the programs (dpkg-shlibdeps); maintainer scripts make the account and leave a running daemon alone.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME espalier)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train vision-language models against a frame: prune, share, fine-tune")
set(CPACK_PACKAGE_DESCRIPTION "Espalier trains grounding models of vision and language and, while it does, prunes attention heads and FFN units
 or shares them between the two backbones, until the model has the size that was asked for.
 .
 This package holds the coordinator (espalierd), the MPI worker (espalier-worker) and the client (espalier).")
set(CPACK_PACKAGE_VENDOR "Espalier")
set(CPACK_PACKAGE_CONTACT "Espalier maintainers <espalier@localhost>")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_RELOCATABLE OFF)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libmunge2, slurm-client, sqlite3")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${CMAKE_CURRENT_SOURCE_DIR}/packaging/postinst;${CMAKE_CURRENT_SOURCE_DIR}/packaging/prerm;${CMAKE_CURRENT_SOURCE_DIR}/packaging/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON) # what is packed was built before
include(CPack)
