"""Names of the files of a reconstruction."""

#: Files of a result.
RESULT_FILES = ("recon.h5", "recon.tif", "summary.json")
#: Folder of the checkpoints of a run, and the file in it that identifies the run.
PARTIAL, PLAN = "partial", "plan.json"
