# SPDX-License-Identifier: Apache-2.0
"""Declared states (services.yaml) as text."""

import json

from .network import LOCAL_IPV4, LOCAL_IPV6

# Quick enough for a test to watch, slow enough not to flap on a busy machine.
HTTP_CHECK = "{type: http, http_path: /, interval: 500ms, timeout: 400ms, rise: 2, fall: 3}"
TCP_CHECK = "{type: tcp, interval: 500ms, timeout: 400ms, rise: 2, fall: 3}"


def state(*services, local_addresses=LOCAL_IPV4 + LOCAL_IPV6, gateways=()):
    """The whole declared state; services are texts that service() made, gateways that gateway()
    made."""
    lines = [f"local_addresses: {json.dumps(local_addresses)}"]
    lines += ["services:", *services] if services else ["services: []"]
    return "\n".join(lines + (["outbound_gateways:", *gateways] if gateways else [])) + "\n"


def gateway(name, inside_prefixes, outside_addresses, **settings):
    """settings: further keys of the outbound gateway with their values, written as YAML."""
    return "\n".join([f"  - name: {name}",
                      f"    inside_prefixes: {json.dumps(inside_prefixes)}",
                      f"    outside_addresses: {json.dumps(outside_addresses)}",
                      *(f"    {key}: {value}" for key, value in settings.items())])


def service(name, address, backend_addresses, port=80, backend_port=None, protocol="tcp",
            backend_settings=None, **settings):
    """settings: further keys of the service with their values, written as YAML; backend_settings:
    those of backends by their addresses, as the inside of a YAML map."""
    backend_settings = backend_settings or {}
    lines = [f"  - name: {name}",
             f'    address: "{address}"',
             f"    port: {port}",
             f"    protocol: {protocol}"]
    lines += [f"    {key}: {value}" for key, value in settings.items()]
    lines.append("    backends:")
    lines += [f'      - {{address: "{backend}", port: {backend_port or port}'
              f'{", " + more if (more := backend_settings.get(backend)) else ""}}}'
              for backend in backend_addresses]
    return "\n".join(lines)
