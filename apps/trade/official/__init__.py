"""Takes a member's copy of the Commission's tables in, cell by cell: default values and benchmarks, workbook or CSV."""
