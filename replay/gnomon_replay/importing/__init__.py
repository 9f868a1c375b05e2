"""Logs that someone already has, turned into traffic.

A file is read row by row (`files`), each row becomes requests (`table` by a column mapping; `kserve`,
`databricks` and `sagemaker` by what those products write), and these go, numbered and with a ledger, into
a spool or a topic (`delivery`). What cannot be mapped is skipped, by reason, and counted in the ledger.
`run.import_files` does it all.
"""
