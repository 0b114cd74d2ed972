"""Contracts of the seams, as test suites.

Subclass one to test a source, a format of files, an engine, a store or an executor. They need pytest. Each
suite is a class whose fixture gives the implementation under test.
"""
