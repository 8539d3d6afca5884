# SPDX-License-Identifier: Apache-2.0
# The first python3 that has numpy; else any, whose test says why it is skipped.
function(dbsp_python_has_numpy result candidate)
  execute_process(
    COMMAND "${candidate}" -c "import numpy"
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(NOT status EQUAL 0)
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
find_program(DBSP_PYTHON3_NUMPY python3 VALIDATOR dbsp_python_has_numpy)
find_program(DBSP_PYTHON3 python3)
set(python "${DBSP_PYTHON3_NUMPY}")
if(NOT python)
  set(python "${DBSP_PYTHON3}")
endif()
if(python)
  add_test(NAME RecorderWritesWhatMergeReads
    COMMAND "${python}" "${CMAKE_CURRENT_LIST_DIR}/record_test.py" "$<TARGET_FILE:dbsp-workload>")
  set_tests_properties(RecorderWritesWhatMergeReads PROPERTIES
    LABELS python SKIP_RETURN_CODE 77 TIMEOUT 120)
endif()
