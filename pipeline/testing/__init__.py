"""Contracts of the seams, as test suites: subclass one to test a source, an engine, a store or an executor.

They need pytest. Each suite is a class whose fixture gives the implementation under test.
"""
