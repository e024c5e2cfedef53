"""What a config amounts to, before anything is trained: networks, costs, data, devices, memory."""


def preview(config):
    return ""
