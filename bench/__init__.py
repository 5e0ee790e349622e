"""Benchmarks and abuse runs that need more than the package: contenders, records, fault bars."""
