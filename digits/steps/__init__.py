"""The steps of the line, each applied to one dataset of a project.

Prefect's tasks, DVC's stages and the command line all call these functions: there is one way to do each step.
"""
