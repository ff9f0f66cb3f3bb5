"""The hooks that offer our readers, transforms, models and scorers, by the door that everybody uses."""

from __future__ import annotations

from hepanom.hookspecs import Offers, hookimpl


def _offers(package: str, **classes: str) -> Offers:
    return {name: f"hepanom_plugins.{package}.{place}" for name, place in classes.items()}


@hookimpl
def contract() -> int:
    """Say which contract our plugins keep."""
    return 1


@hookimpl
def readers() -> Offers:
    """Offer our readers."""
    return _offers(
        "readers",
        attpc="attpc:ATTPC",
        attpc_simulation="attpc_simulation:ATTPCSimulation",
        csv="csv:Csv",
        hdf5="hdf5:Hdf5",
        higgsml="higgsml:HiggsML",
        npz="npz:Npz",
        occupancy="occupancy:Occupancy",
        occupancy_simulation="occupancy_simulation:OccupancySimulation",
        parquet="parquet:Parquet",
        recoil_simulation="recoil_simulation:RecoilSimulation",
        root="root:Root",
        toy="toy:Toy",
    )


@hookimpl
def transforms() -> Offers:
    """Offer our transforms."""
    return _offers(
        "transforms",
        clip="clip:Clip",
        drop="columns:Drop",
        image="image:Image",
        log="log:Log",
        logit="logit:Logit",
        missing="missing:Missing",
        normalize_points="normalize_points:NormalizePoints",
        one_hot="one_hot:OneHot",
        pad="pad:Pad",
        quantile="quantile:Quantile",
        rotate_phi="rotate_phi:RotatePhi",
        select="columns:Select",
        standardize="standardize:Standardize",
    )


@hookimpl
def models() -> Offers:
    """Offer our models."""
    return _offers(
        "models",
        anogan="anogan:AnoGAN",
        autoencoder="autoencoder:Autoencoder",
        bigan="bigan:BiGAN",
        conv_autoencoder="conv_autoencoder:ConvAutoencoder",
        conv_vae="conv_autoencoder:ConvVAE",
        deep_clustering="deep_clustering:DeepClustering",
        deep_svdd="deep_svdd:DeepSVDD",
        dnn="dnn:DNN",
        draw="draw:Draw",
        flow="flow:Flow",
        gan="gan:GAN",
        gmm="gmm:GMM",
        hbos="hbos:HBOS",
        isolation_forest="isolation_forest:IsolationForest",
        knn="knn:KNN",
        mahalanobis="mahalanobis:Mahalanobis",
        pca="pca:PCA",
        set_autoencoder="set_autoencoder:SetAutoencoder",
        vae="vae:VAE",
        wgan_gp="wgan_gp:WGANGP",
    )


@hookimpl
def scorers() -> Offers:
    """Offer our scorers."""
    return _offers(
        "scorers",
        cluster_distance="cluster_distance:ClusterDistance",
        combine="combine:Combine",
        critic="critic:CriticScore",
        elbo="elbo:Elbo",
        kl="latent:KL",
        knn="codes:CodeKNN",
        latent_mu2="latent:LatentMu2",
        likelihood="likelihood:Likelihood",
        mahalanobis="codes:CodeMahalanobis",
        outlyingness="outlyingness:Outlyingness",
        query="query:Query",
        reconstruction="reconstruction:Reconstruction",
        residual_pull="residual_pull:ResidualPull",
    )
