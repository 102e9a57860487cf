"""How do agents agree?"""
