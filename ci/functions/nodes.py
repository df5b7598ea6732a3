"""Functions for the configuration of nodes."""

import dagger

from ci import args
from ci.api import api_function
from ci.common.deferred import deferred
from ci.common.progress import say
from ci.functions.base import Functions

with deferred():
    from ci.execute import configure
    from ci.node import check, request, tailscale
    from ci.node import installer as installers


class NodeFunctions(Functions):
    """Functions for the configuration of nodes."""

    @api_function
    async def machine_config(
        self,
        variant: args.VariantName,
        tailscale_auth_key: args.AuthKey = None,
        routes: args.Routes = None,
        hostname: args.Hostname = None,
        tailscale_args: args.TailscaleArguments = None,
        join_cidr: args.JoinCidr = None,
        installer: args.Installer = None,
        install_disk: args.InstallDisk = None,
        node_subnets: args.NodeSubnets = None,
        for_: args.NodeKind = None,
        login_server: args.LoginServer = None,
        accept_routes: args.AcceptRoutes = None,
        accept_dns: args.AcceptDns = None,
        advertise_tags: args.AdvertiseTags = None,
        tailscale_client_id: args.TailscaleClientId = None,
        tailscale_audience: args.TailscaleAudience = None,
        talm: args.Talm = False,
        check_: args.CheckedFiles = None,
    ) -> dagger.Directory:
        """Write the configuration that a variant's nodes need, as Talos patches ready to apply.

        Layout: node.yaml, a patch for each node; kubernetes.yaml, the cluster's RuntimeClasses, and the same in
        controlplane.yaml as a patch for a new cluster. From Talos v1.14 on also install.yaml, and in v1alpha1/ the same
        for configurations of the older form. A service in the image that waits for something which the patches do not
        give is an error. An auth key is in node.yaml, and in the engine's cache. With --check, check.txt has what was
        found in configurations that are there already; a problem in one is an error.
        """
        inputs = await self._inputs()
        chosen = inputs.variants.get(variant)
        asked = tailscale.Asked(
            routes=routes,
            hostname=hostname,
            arguments=tailscale_args,
            join_cidr=join_cidr,
            has_auth_key=tailscale_auth_key is not None,
            login_server=login_server,
            accept_routes=accept_routes,
            accept_dns=accept_dns,
            tags=advertise_tags,
            client_id=tailscale_client_id,
            audience=tailscale_audience,
        )
        node = request.NodeSettings(
            request.parse_subnets(node_subnets), request.parse_kind(for_, chosen), install_disk, talm
        )
        tailscale.settings(chosen, asked)  # before anything is fetched
        request.check_disk(install_disk, has_installer=installer is not None)
        image = installers.parse_installer(installer, chosen.name, inputs.variants.names)
        plan = await inputs.plan(variant, ["installer"])
        services = await configure.check_services(plan, chosen, await inputs.pipeline(plan))
        made = await configure.configure(plan, chosen, asked, node, image, tailscale_auth_key)
        for warning in made.warnings:
            say(f"WARNING: {warning}")
        result = await configure.folder(made, tailscale_auth_key)
        if check_:
            found = await configure.check_files(
                check_, check.Subject(chosen, plan, services, tuple(inputs.variants.names))
            )
            say(found)
            result = result.with_new_file("check.txt", found)
        return result
