"""The default line under several seeds: are its figures more than luck?"""
