"""Archives: ended datasets, moved out of the database into files, and back.

In: ended datasets, of commands. Out: files of compressed BSON; a dataset that says where its tasks are.
"""

__all__ = ["archiving", "choosing", "files", "restoring"]
