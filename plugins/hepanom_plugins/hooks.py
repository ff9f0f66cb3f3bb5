"""The hooks that offer our readers, transforms, models and scorers, by the door that everybody uses."""

from __future__ import annotations

from hepanom.hookspecs import Offers, hookimpl


def _offers(package: str, **classes: str) -> Offers:
    return {name: f"hepanom_plugins.{package}.{place}" for name, place in classes.items()}


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
        occupancy="occupancy:Occupancy",
        occupancy_simulation="occupancy_simulation:OccupancySimulation",
        parquet="parquet:Parquet",
        recoil_simulation="recoil_simulation:RecoilSimulation",
        toy="toy:Toy",
        root="root:Root",
    )


@hookimpl
def transforms() -> Offers:
    """Offer our transforms."""
    return _offers(
        "transforms",
        select="columns:Select",
        drop="columns:Drop",
        missing="missing:Missing",
        standardize="standardize:Standardize",
        log="log:Log",
        image="image:Image",
        pad="pad:Pad",
        normalize_points="normalize_points:NormalizePoints",
        one_hot="one_hot:OneHot",
        rotate_phi="rotate_phi:RotatePhi",
        quantile="quantile:Quantile",
        logit="logit:Logit",
        clip="clip:Clip",
    )


@hookimpl
def models() -> Offers:
    """Offer our models."""
    return _offers(
        "models",
        anogan="anogan:AnoGAN",
        autoencoder="autoencoder:Autoencoder",
        conv_autoencoder="conv_autoencoder:ConvAutoencoder",
        conv_vae="conv_autoencoder:ConvVAE",
        bigan="bigan:BiGAN",
        deep_clustering="deep_clustering:DeepClustering",
        deep_svdd="deep_svdd:DeepSVDD",
        dnn="dnn:DNN",
        draw="draw:Draw",
        flow="flow:Flow",
        set_autoencoder="set_autoencoder:SetAutoencoder",
        gan="gan:GAN",
        gmm="gmm:GMM",
        hbos="hbos:HBOS",
        isolation_forest="isolation_forest:IsolationForest",
        knn="knn:KNN",
        mahalanobis="mahalanobis:Mahalanobis",
        pca="pca:PCA",
        vae="vae:VAE",
        wgan_gp="wgan_gp:WGANGP",
    )


@hookimpl
def scorers() -> Offers:
    """Offer our scorers."""
    return _offers(
        "scorers",
        critic="critic:CriticScore",
        query="query:Query",
        combine="combine:Combine",
        reconstruction="reconstruction:Reconstruction",
        residual_pull="residual_pull:ResidualPull",
        cluster_distance="cluster_distance:ClusterDistance",
        elbo="elbo:Elbo",
        kl="latent:KL",
        latent_mu2="latent:LatentMu2",
        likelihood="likelihood:Likelihood",
        knn="codes:CodeKNN",
        mahalanobis="codes:CodeMahalanobis",
        outlyingness="outlyingness:Outlyingness",
    )
