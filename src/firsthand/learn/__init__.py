"""The learning path: lessons, exercises, and a grader that says what is wrong."""
