"""Every objective with every update strategy on the tiny model: does each cell learn, reload and merge?"""
