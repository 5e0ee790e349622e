"""ztransport beside what Python users would pick instead, each behind one small protocol."""
