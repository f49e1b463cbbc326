"""Fusing the scores of several paths into one order, and giving scores a meaning."""
