"""What a person writes in files and environment variables, checked and turned into typed values.

`settings` has every key of the configuration, `plan` the plan file of `concerted run`, `loader` turns
text into either, `listing` says what is set and what each key means, `placeholders` fills command lines.
The room reads no file and no environment: both come in as arguments.
"""
